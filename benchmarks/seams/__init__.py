"""Does a video show where its windows meet? ``python -m benchmarks.seams``."""
