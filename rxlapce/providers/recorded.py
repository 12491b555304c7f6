"""Recordings of providers' bytes: in which framing and dialect they were said."""

import re
from typing import Final
from urllib.parse import unquote

from rxlapce.dialects.json_values import is_object, loads
from rxlapce.operators.recording import RecordingHeader
from rxlapce.providers.apis import APIS, GOOGLE_SSE, Format
from rxlapce.providers.provider import JSON

#: The API of a recording that does not tell, by its provider: the one that a request is asked by that names none.
_USUAL: Final = {
    "anthropic": "anthropic.messages",
    "bedrock": "bedrock.converse-stream",
    "gemini": "gemini.streamGenerateContent?alt=sse",
    "vertex": "gemini.streamGenerateContent?alt=sse",
}
_COMPATIBLE: Final = "openai.chat.completions"


#: How the paths of APIs end, without the query; Google's are told apart by theirs.
_PATHS: Final = (
    ("/chat/completions", "openai.chat.completions"),
    ("/responses", "openai.responses"),
    ("/completions", "openai.completions"),
    ("/messages", "anthropic.messages"),
    (":rawPredict", "anthropic.messages"),
    (":streamRawPredict", "anthropic.messages"),
    ("/complete", "anthropic.complete"),
    ("/converse", "bedrock.converse-stream"),
    ("/converse-stream", "bedrock.converse-stream"),
    ("/invoke", "bedrock.invoke-with-response-stream"),
    ("/invoke-with-response-stream", "bedrock.invoke-with-response-stream"),
    ("/api/chat", "ollama.chat"),
    (":generateContent", "gemini.streamGenerateContent?alt=sse"),
    (":streamGenerateContent", "gemini.streamGenerateContent (JSON array)"),
)
_GOOGLE_SSE_PATH: Final = re.compile(r":streamGenerateContent\?(.*&)?alt=sse(&|$)")
#: Where a path has a model's name: Google's and Bedrock's, and Azure's deployments.
_MODEL_IN_PATH: Final = re.compile(r"/(?:models?|deployments)/([^/?]+?)(?::[A-Za-z]+)?(?:[/?]|$)")


def api_of_target(target: str) -> str:
    """The name in `APIS` of what a path, with its query, asks by; "" for one that is no API's."""
    if _GOOGLE_SSE_PATH.search(target):
        return "gemini.streamGenerateContent?alt=sse"
    path = target.partition("?")[0]
    return next((name for end, name in _PATHS if path.endswith(end)), "")


def model_of_request(target: str, body: bytes) -> str:
    """The model that is asked for, as the JSON `body` or else the path says it; "" if neither does."""
    said = loads(body)
    if is_object(said) and isinstance(said.get("model"), str):
        return str(said["model"])
    found = _MODEL_IN_PATH.search(target)
    return unquote(found[1]) if found else ""


def format_of(header: RecordingHeader) -> Format:
    """What decodes the recording: by the API's name that it tells, else by who was asked and how the body was called.

    Raises `ValueError` where neither decides it.
    """
    told = APIS.get(header.api)
    if told is not None:
        return told
    usual = APIS[_USUAL.get(header.provider, _COMPATIBLE)]
    if header.framing in ("", usual.framing.name) and header.content_type in ("", usual.framing.media_type):
        return usual
    if header.content_type == JSON and usual.framing is not GOOGLE_SSE and not header.framing:
        return usual  # a whole answer, or an error; of Google it may as well be a stream
    fitting = [
        one
        for one in APIS.values()
        if header.framing == one.framing.name or (not header.framing and header.content_type == one.framing.media_type)
    ]
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(
        f"the recording does not tell its API: expected one of {', '.join(APIS)}, got {header.api or 'none'!r} "
        f"of {header.provider or 'an unknown provider'} as {header.content_type}"
    )
