"""Serving: ours beside its peers, and each of the three patterns under load. Run with bench/serving/run."""
