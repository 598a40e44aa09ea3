"""One process, one copy of a model: protocols, batching, inference."""
