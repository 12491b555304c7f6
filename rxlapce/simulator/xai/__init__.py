"""xAI as it is simulated: OpenAI's APIs with its own reasoning and counts."""
