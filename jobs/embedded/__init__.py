"""The recipe that trains the embedded model: one file per stage."""
