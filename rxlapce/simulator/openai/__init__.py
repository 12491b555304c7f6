"""OpenAI as it is simulated: chat completions, responses, completions."""
