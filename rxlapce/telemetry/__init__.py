"""What the daemon tells of itself: logs today, metrics and audit to come. Never a key, a prompt or an answer."""
