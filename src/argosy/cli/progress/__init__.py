"""A run as it goes: rows to show, and the two ways to show them."""
