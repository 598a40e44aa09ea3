"""How many replicas follow from the load."""
