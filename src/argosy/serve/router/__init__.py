"""One answer of many: the members of an ensemble, the shards of a large request."""
