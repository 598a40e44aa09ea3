"""The one address in front of all services: Envoy and its files."""
