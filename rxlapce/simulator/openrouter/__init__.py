"""OpenRouter as it is simulated: OpenAI's and Anthropic's APIs with its additions."""
