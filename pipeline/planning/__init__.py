"""Which video starts when, on which GPUs: pure functions of the fleet and of measured times."""
