"""Google as it is simulated: the Gemini API, Vertex AI with Gemini and Claude, and their tokens."""
