"""Anthropic as it is simulated: Messages."""
