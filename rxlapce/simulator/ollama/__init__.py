"""Ollama as it is simulated: its own API in JSON lines."""
