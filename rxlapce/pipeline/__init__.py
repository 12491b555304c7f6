"""What a configuration makes of stages: the way of a request, checked before the first one goes it."""
