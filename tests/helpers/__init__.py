"""What several test files share: stand-ins for models, small stores, trainings, archives, a visitor of the page."""
