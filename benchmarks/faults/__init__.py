"""What may go wrong beside a daemon, done to a real one, and what became of it: `python -m benchmarks.faults`."""
