"""Two actors against one, a thread each. ``python -m benchmarks.actors``."""
