"""Round trips of heartbeats between many clients and one daemon."""
