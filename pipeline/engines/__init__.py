"""Ways to make video: each engine is a model with its geometry, text encoder and decoder."""
