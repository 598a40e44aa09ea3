"""Envoy's configuration, as functions from our types to its JSON."""
