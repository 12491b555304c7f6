"""The environment in which every provider is the simulator, each in its own dialect, framing and paths."""

from typing import Final

#: What stands in the place of a key; the simulator takes any.
KEY: Final = "simulated-key"


def simulated_environ(base_url: str) -> dict[str, str]:
    """The variables that point all providers at a simulator's `base_url`."""
    return {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": base_url,
        "GEMINI_API_KEY": KEY,
        "GEMINI_BASE_URL": base_url,
        "AZURE_OPENAI_API_KEY": KEY,
        "AZURE_OPENAI_ENDPOINT": base_url,
        "AWS_BEARER_TOKEN_BEDROCK": KEY,
        "AWS_REGION": "us-east-1",
        "BEDROCK_BASE_URL": base_url,
        "XAI_API_KEY": KEY,
        "XAI_BASE_URL": f"{base_url}/xai/v1",
        "VERTEX_PROJECT_ID": "simulated",
        "VERTEX_LOCATION": "us-east5",
        "VERTEX_ACCESS_TOKEN": KEY,
        "VERTEX_BASE_URL": base_url,
        "OPENROUTER_API_KEY": KEY,
        "OPENROUTER_BASE_URL": f"{base_url}/openrouter/api/v1",
        "LOCAL_BASE_URL": f"{base_url}/v1",
    }
