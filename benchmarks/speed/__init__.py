"""A step of ours beside a step of stock diffusers. ``python -m benchmarks.speed``."""
