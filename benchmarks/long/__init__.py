"""One video of ten seconds to half an hour, beside peers. ``python -m benchmarks.long``."""
