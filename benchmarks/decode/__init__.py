"""Decoding by pieces and in tiles against one stream. ``python -m benchmarks.decode``."""
