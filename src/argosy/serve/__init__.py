"""Serving: model servers, the router of an ensemble, the gateway (Envoy), and what keeps them alive."""
