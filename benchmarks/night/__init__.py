"""What a planner makes of a night. ``python -m benchmarks.night``."""
