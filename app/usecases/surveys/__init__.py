"""Surveys: described, asked, answered."""
