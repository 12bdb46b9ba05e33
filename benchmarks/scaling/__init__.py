"""Memory and time against the length of a video. ``python -m benchmarks.scaling``."""
