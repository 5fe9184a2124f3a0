"""Surveys: described, invited to, answered on pages."""
