"""Settings that look real and prove nothing: for clients that are asked at a loopback server."""

from typing import Final

AWS_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIADUMMY",
    "AWS_SECRET_ACCESS_KEY": "dummy-secret",
    "AWS_SESSION_TOKEN": "dummy-session",
}

#: The environment that configures a provider, by its name.
ENVIRONS: Final[dict[str, dict[str, str]]] = {
    "gemini": {"GEMINI_API_KEY": "AIza-dummy"},
    "vertex": {"VERTEX_PROJECT_ID": "my-project", "VERTEX_LOCATION": "us-east5", "VERTEX_ACCESS_TOKEN": "ya29.dummy"},
    "bedrock": {"AWS_REGION": "us-east-1", **AWS_KEYS},
}
