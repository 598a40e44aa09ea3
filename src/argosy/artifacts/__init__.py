"""Content-addressed storage of what steps take and return."""
