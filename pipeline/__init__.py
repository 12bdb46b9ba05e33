"""Rendering itself: geometry, noise, sampling, engines, decoding, encoding.

No Ray, no object store, no clock, no environment. Start with ``pipeline/README.md``.
"""
