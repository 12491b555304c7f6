"""JSON in the white space of Google's servers, as recorded from the Gemini API and Vertex AI in 2025 and 2026."""

import json
from typing import Any


def compact(value: Any) -> str:
    """On one line, with a blank after each colon and none after a comma: what stands in an event."""
    return _harmless(json.dumps(value, ensure_ascii=False, separators=(",", ": ")))


def pretty(value: Any) -> str:
    """Indented by two: whole answers, errors, and the elements of a streamed array."""
    return _harmless(json.dumps(value, ensure_ascii=False, indent=2))


def _harmless(text: str) -> str:
    """Angle brackets are escaped, so that no browser takes them for tags; outside of strings JSON has none."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")
