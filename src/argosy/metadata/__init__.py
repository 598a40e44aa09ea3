"""The store of what happened: runs, nodes, attempts, metrics, lineage."""
