"""Windows of several videos in one forward. ``python -m benchmarks.batching``."""
