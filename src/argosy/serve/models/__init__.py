"""Stored models: what kinds there are, how each is loaded and run."""
