"""Recordings of providers' bytes: in which framing and dialect they were said."""

from typing import Final

from rxlapce.operators.recording import RecordingHeader
from rxlapce.providers.apis import APIS, Format
from rxlapce.providers.provider import Api

#: The API of a recording that does not tell, by its provider: the one that a request is asked by that names none.
_USUAL: Final = {
    "anthropic": "anthropic.messages",
    "bedrock": "bedrock.converse-stream",
    "gemini": "gemini.streamGenerateContent?alt=sse",
    "vertex": "gemini.streamGenerateContent?alt=sse",
}
_COMPATIBLE: Final = "openai.chat.completions"


def api_name(api: Api) -> str:
    """The name in `APIS` of an API as a provider offers it; "" for a dialect or framing that has none."""
    for name, one in APIS.items():
        if one.framing.name == api.framing.name and one.dialect().name == api.dialect.name:
            return name
    return ""


def format_of(header: RecordingHeader) -> Format:
    """What decodes the recording: by the API's name that it tells, else by who was asked and how the body was called.

    Raises `ValueError` where neither decides it.
    """
    told = APIS.get(header.api)
    if told is not None:
        return told
    usual = APIS[_USUAL.get(header.provider, _COMPATIBLE)]
    if header.content_type in ("", usual.framing.media_type):
        return usual
    fitting = [one for one in APIS.values() if one.framing.media_type == header.content_type]
    if len(fitting) == 1:
        return fitting[0]
    raise ValueError(
        f"the recording does not tell its API: expected one of {', '.join(APIS)}, got {header.api or 'none'!r} "
        f"of {header.provider or 'an unknown provider'} as {header.content_type}"
    )
