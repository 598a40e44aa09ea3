"""Serving: ours beside its peers, and each of the three patterns under load. Run with bench/serving/run."""

import signal
import sys

# A benchmark that is told to end still ends the servers it started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
