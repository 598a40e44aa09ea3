"""What every benchmark shares: fair rounds, medians with their spread, and a home of its own."""
