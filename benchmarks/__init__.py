"""What rxlapce costs, measured beside aiohttp alone in the same run: `python -m benchmarks`."""
