"""Many streams with random faults for minutes, and what is left of them in the daemon: `python -m benchmarks.soak`."""
