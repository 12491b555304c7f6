"""No list, object or string of an event makes a decoder slow or its tokens many, however long it is.

Each place of each sample is stretched to 64 KiB in turn; see `cpu_limit_s` and `MAX_GROWTH` of `testing.decoding`.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.providers.apis import APIS
from rxlapce.testing.decoding import decode, read_answer, read_error, timed
from rxlapce.testing.frames import FRAMERS, Frame
from rxlapce.testing.mutations import places
from rxlapce.testing.samples import SAMPLES, UNARY, UNKNOWN, chunk

SIZE = 2**16
#: What a hostile body consists of, over and over.
UNITS = [
    *(b"\r", b"\n", b":", b":\n", b"a", b"{", b"[", b"[[", b"[1,", b'"', b'"\\', b'{"a":', b"\0"),
    *(b"data:\n", b"data: {}\r\r", b"id:1\n"),
]


def stretched(value: Any) -> Iterator[Any]:
    """`value` with one place after the other made long; the same object each time."""
    for holder, key in places(value):
        old = holder[key]
        count = SIZE // (len(json.dumps(old)) + 2)
        longer: list[Any] = [[old] * count]
        if isinstance(old, str):
            longer.append((old or "x") * (SIZE // max(1, len(old))))
        elif is_array(old) and old:
            longer.append(old * count)
        elif is_object(old):
            longer.append({**old, **{f"k{number}": 1 for number in range(SIZE // 10)}})
        for new in longer:
            holder[key] = new
            yield value
        holder[key] = old


def events(api: str) -> list[tuple[str, Any]]:
    """Samples that are JSON, those in a chunk without it."""
    found: list[tuple[str, Any]] = []
    for name, value in SAMPLES.get(api, UNKNOWN):
        if is_object(value):
            inner = base64.b64decode(value["bytes"]) if "bytes" in value else json.dumps(value)
            found.append((name, json.loads(inner)))
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("api", APIS)
def test_no_place_of_an_event_costs_more_than_its_bytes(api: str) -> None:
    framer, dialect = FRAMERS[APIS[api].framing.name], APIS[api].dialect()
    for name, event in events(api):
        first = json.dumps(chunk(event) if name == "chunk" else event).encode()
        for value in stretched(event):
            data = json.dumps(chunk(value) if name == "chunk" else value).encode()
            body = framer.join([Frame(framer.head(name), first), Frame(framer.head(name), data)])
            with timed(len(body)):
                decode(api, body)
            read_answer(dialect, data)
            read_error(dialect, 429, {}, data)


@pytest.mark.heavy
@pytest.mark.parametrize("api", UNARY)
def test_no_place_of_an_answer_costs_more_than_its_bytes(api: str) -> None:
    dialect = APIS[api].dialect()
    for answer in UNARY[api]:
        for value in stretched(json.loads(json.dumps(answer))):
            read_answer(dialect, json.dumps(value).encode())


@pytest.mark.heavy
@pytest.mark.parametrize("api", APIS)
def test_no_repetition_costs_more_than_its_bytes(api: str) -> None:
    dialect = APIS[api].dialect()
    framer = FRAMERS[APIS[api].framing.name]
    made_up = [
        framer.join([Frame(framer.head(name), json.dumps(value).encode())]) for name, value in SAMPLES.get(api, UNKNOWN)
    ]
    for unit in (*UNITS, *made_up):
        body = unit * (SIZE // len(unit))
        for data in (body, b"[" + body):
            with timed(len(data)):
                decode(api, data)
        read_answer(dialect, body)
        read_error(dialect, 500, {"retry-after": body[:8192].decode("latin-1")}, body)
