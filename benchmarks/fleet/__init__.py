"""How much of its time a warm fleet spends in the model."""
