"""Random faults, and what they cost."""
