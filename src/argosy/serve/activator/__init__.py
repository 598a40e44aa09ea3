"""Holds requests to what has no replica, until one is there."""
