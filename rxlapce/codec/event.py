"""One decoded event: what every framing hands to a dialect."""

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event of a provider's stream.

    `data` is its text (SSE: the data lines joined by LF; NDJSON and JSON arrays: one value). `event` is its name, as
    SSE has it ("message" unless the stream names it). `id` is the last event id at that moment.
    """

    data: str
    event: str = "message"
    id: str = ""
