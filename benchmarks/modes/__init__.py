"""What the embedded model's joins look like in each boundary mode."""
