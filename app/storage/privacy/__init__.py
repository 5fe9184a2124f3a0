"""What is held about a person, where, and how it goes."""
