"""Loads app.fitting before any test module loads numpy, so that its limit on threads counts here too."""

import app.fitting  # noqa: F401 - for what importing it does
