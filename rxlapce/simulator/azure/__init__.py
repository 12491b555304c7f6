"""Azure OpenAI as it is simulated: OpenAI's APIs with its filters and paths."""
