"""Ray: segment actors, gangs, exchange, and what to make of their failures."""
