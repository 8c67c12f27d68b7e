"""Helpers of several test files: stand-ins for models, small stores, training runs, archives, a visitor of the page."""
