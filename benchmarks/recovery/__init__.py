"""What snapshots and retained boundaries cost while nothing fails."""
