"""Whether a revision may take over: both are asked on one validation split."""
