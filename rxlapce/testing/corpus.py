"""What fuzzing starts from: the mutators of all APIs with recorded streams where there are any, and the codecs.

Recorded streams are no part of the project: they are looked for in $RXLAPCE_STREAMS, then in `../shared/streams` beside
the repository. Streams that the simulator writes, and made-up samples, are always there.
"""

import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from rxlapce.codec.eventstream import EventStreamDecoder, MessageEvents
from rxlapce.codec.frame import FrameDecoder
from rxlapce.codec.google_sse import GoogleSSEDecoder
from rxlapce.codec.json_array import JsonArrayDecoder
from rxlapce.codec.ndjson import NDJSONDecoder
from rxlapce.codec.sse import SSEDecoder
from rxlapce.providers.apis import APIS
from rxlapce.simulator.play import Close, Step
from rxlapce.simulator.recital import recite
from rxlapce.testing.decoding import Codec
from rxlapce.testing.mutations import Mutator

STREAMS: Final = Path(os.environ.get("RXLAPCE_STREAMS") or Path(__file__).parents[2].parent / "shared" / "streams")

_RECITED: Final[dict[str, Literal["chat_completions", "messages"]]] = {
    "openai.chat.completions": "chat_completions",
    "anthropic.messages": "messages",
}

#: Each with the bounds of its defaults, and with a small one that most inputs run into.
CODECS: Final[dict[str, tuple[Callable[[], Codec], ...]]] = {
    "sse": (SSEDecoder, lambda: SSEDecoder(48)),
    "google-sse": (GoogleSSEDecoder, lambda: GoogleSSEDecoder(48)),
    "json-array": (JsonArrayDecoder, lambda: JsonArrayDecoder(48)),
    "ndjson": (NDJSONDecoder, lambda: NDJSONDecoder(48)),
    "eventstream": (EventStreamDecoder, MessageEvents, lambda: EventStreamDecoder(160)),
    "frame": (FrameDecoder, lambda: FrameDecoder({1, 2}, 48)),
}


@cache
def recordings(api: str) -> tuple[bytes, ...]:
    """The recorded bodies of streams of an API; none where there are no recordings."""
    manifest = STREAMS / "manifest.json"
    entries: list[dict[str, Any]] = json.loads(manifest.read_bytes()) if manifest.is_file() else []
    files = [entry["file"] for entry in entries if entry["api"] == api and entry["status"] < 400]
    return tuple((STREAMS / file).read_bytes() for file in files)


@cache
def simulated(api: str) -> tuple[bytes, ...]:
    """Streams that the simulator writes in an API; none for one whose streams it recites nowhere."""
    dialect = _RECITED.get(api)
    if dialect is None:
        return ()
    models = ("sim:tokens=12", "sim:tokens=4,reasoning=4", "sim:tokens=6,fault=error,after=3", "sim:finish=refusal")
    return tuple(_body(recite("What is a marble?", dialect=dialect, model=model)) for model in models)


def _body(steps: Iterable[Step | Close]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Step))


@cache
def mutators() -> dict[str, Mutator]:
    """The mutator of each API."""
    return {api: Mutator(api, spoken.framing.name, recordings(api) or simulated(api)) for api, spoken in APIS.items()}
