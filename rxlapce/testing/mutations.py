"""Bodies that are nearly right: recorded, simulated or made-up streams with a few seeded mistakes in them.

`Mutator.mutate` changes bytes, whole frames, or values inside a frame's JSON; framing and checksums are right again
after the latter two. The same `chance` gives the same body.
"""

import base64
import binascii
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.testing.frames import FRAMERS, Frame
from rxlapce.testing.samples import SAMPLES, UNKNOWN

#: A mutated body is cut off here, so that byte by byte stays quick.
MAX_BODY_BYTES: Final = 2**16
#: Of so many places in a value one is chosen to be changed.
MAX_PLACES: Final = 2000
#: JSON text that stands in a value as this mark around it: what `json` would not write by itself.
_VERBATIM: Final = re.compile(r'"@@(.*?)@@"')
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")
_NUMBERS: Final = (b"1e999", b"-1", b"NaN", b"9" * 5000, b"9" * 40, b"null", b'"7"', b"1.5", b"-0", b"%d" % 2**64)
_WORDS: Final = ("", "\0", "\u2028", "nan", "inf", "1e999", "-7", "7", "stop", "error", "[DONE]", "null", "\U0001f600")
_PLAIN: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1.5, -0.0, 1e308),
    *([], {}, [[]], [None], {"": None}),
)
_VERBATIMS: Final = ("1e999", "-1e999", "9" * 5000, "NaN", '"\\ud800"', "-", "01", '{"a":1,"a":2}', "\ufffd")
#: Around the depths at which interpreters give up.
_DEPTHS: Final = (3, 60, 65, 130, 240, 320, 330, 470, 490, 600, 800, 900, 930, 950, 960, 970, 980, 990, 1100, 5000)
_NESTS: Final = (
    ("[", "]"),
    ('{"a":', "}"),
    ('{"error":', "}"),
    ('{"error":{"metadata":{"raw":', "}}}"),
    ('{"content":[{"type":"thinking","thinking":', "}]}"),
)

Edit = Callable[[random.Random, Any], Any]
#: A longer text is not repeated: three mistakes on top of one another would make half a gigabyte of it.
_MOST_REPEATED_CHARS: Final = 4096


class Mutator:
    """Mutations of one API's bodies in one framing; `bodies` is what they start from, besides made-up ones."""

    def __init__(self, api: str, framing: str, bodies: Sequence[bytes] = ()) -> None:
        self._framer = FRAMERS[framing]
        self._wrapped = api == "bedrock.invoke-with-response-stream"
        samples = SAMPLES.get(api) or UNKNOWN
        self._made_up = [
            Frame(self._framer.head(name), (value if isinstance(value, str) else json.dumps(value)).encode())
            for name, value in samples
        ]
        self._bodies = [self._made_up, *(self._framer.split(body) for body in bodies)]
        if self._wrapped:  # the first payload tells whose words the others are in
            self._bodies += [self._made_up[start:] for start in range(1, len(self._made_up), 2)]
        self._frames = [frame for frames in self._bodies for frame in frames]
        self._names = sorted({name for frame in self._made_up for name in _names(self._load(frame.data))})

    @property
    def seeds(self) -> list[bytes]:
        """The bodies themselves, each cut to its beginning, middle and end."""
        return [self._framer.join(_short(frames, 24)) for frames in self._bodies]

    def body(self, chance: random.Random) -> bytes:
        """One of the bodies, cut short, with up to four mistakes."""
        frames = _short(chance.choice(self._bodies), chance.choice((4, 8, 12)))
        return self._mutate(frames, chance, chance.randint(0, 4))

    def mutate(self, body: bytes, chance: random.Random) -> bytes:
        """`body` with one to three mistakes."""
        return self._mutate(self._framer.split(body) or list(self._made_up), chance, chance.randint(1, 3), body)

    def invented(self, chance: random.Random) -> bytes:
        """Frames with right framing and random JSON, in which only the names and the heads are the API's."""
        frames = [
            Frame(chance.choice(self._frames).head, self._dump(self._value(chance, 4)))
            for _ in range(chance.randint(1, 6))
        ]
        return self._framer.join(frames)

    def unary(self, value: Any, chance: random.Random) -> bytes:
        """The JSON of `value` with up to three mistakes inside, and now and then one in the bytes."""
        for _ in range(chance.randint(0, 3)):
            value = self._edit(value, chance)
        text = _write(value)
        return edit_bytes(text, chance) if chance.random() < 0.15 else text

    def _mutate(self, start: Sequence[Frame], chance: random.Random, mistakes: int, body: bytes | None = None) -> bytes:
        frames = list(start)
        for _ in range(mistakes):
            kind = chance.random()
            if kind < 0.55:
                self._edit_frame(frames, chance)
            elif kind < 0.85:
                self._edit_frames(frames, chance)
            else:
                whole = body if body is not None and chance.random() < 0.5 else self._framer.join(frames)
                return edit_bytes(whole, chance)[:MAX_BODY_BYTES]
        return self._framer.join(frames)[:MAX_BODY_BYTES]

    # -- frames -------------------------------------------------------------------------------------------------------

    def _edit_frames(self, frames: list[Frame], chance: random.Random) -> None:
        """Drop, repeat, move, insert, truncate, or give another frame's head."""
        if not frames:
            frames.append(chance.choice(self._frames))
            return
        at = chance.randrange(len(frames))
        match chance.randrange(7):
            case 0:
                del frames[at]
            case 1:
                frames[at:at] = [frames[at]] * chance.choice((1, 2, 30))
            case 2:
                frames.insert(chance.randrange(len(frames)), frames.pop(at))
            case 3:
                frames.insert(at, chance.choice(self._frames))
            case 4:
                del frames[at:]
            case 5:  # splice: on with another body
                other = chance.choice(self._bodies)
                frames[at:] = _short(other, 12)[-chance.randint(1, 12) :]
            case _:
                frames[at] = Frame(chance.choice(self._frames).head, frames[at].data)

    def _edit_frame(self, frames: list[Frame], chance: random.Random) -> None:
        if not frames:
            return
        at = chance.randrange(len(frames))
        head, data = frames[at]
        value = self._load(data)
        if value is None or chance.random() < 0.08:
            frames[at] = Frame(head, edit_bytes(data, chance))
        else:
            frames[at] = Frame(head, self._dump(self._edit(value, chance)))

    # -- JSON ---------------------------------------------------------------------------------------------------------

    def _load(self, data: bytes) -> Any:
        try:
            value = json.loads(data)
            if self._wrapped and is_object(value) and "bytes" in value:
                return json.loads(base64.b64decode(value["bytes"]))
        except (ValueError, TypeError, RecursionError, binascii.Error):
            return None
        return value

    def _dump(self, value: Any) -> bytes:
        text = _write(value)
        return json.dumps({"bytes": base64.b64encode(text).decode(), "p": "ab"}).encode() if self._wrapped else text

    def _edit(self, value: Any, chance: random.Random) -> Any:
        """`value` with one place in it changed."""
        found = places(value)
        if not found:
            return self._wrong(value, chance)
        many = 300 if len(found) < 100 else 3  # once, or a few mistakes would make a value that fills the memory
        holder, key = chance.choice(found)
        old = holder[key]
        match chance.randrange(10):
            case 0 | 1 | 2:
                holder[key] = self._wrong(old, chance)
            case 3:
                del holder[key]
            case 4:
                holder[key] = [old] * chance.choice((1, 2, many))
            case 5:
                holder[key] = {chance.choice(self._names): old}
            case 6:
                there, name = chance.choice(found)
                holder[key] = _copy(there[name])
            case 7:
                other = self._load(chance.choice(self._frames).data)
                others = places(other)
                holder[key] = _from(chance.choice(others)) if others else other
            case 8 if is_object(holder):
                holder[chance.choice(self._names)] = holder.pop(key)
            case 8:
                holder[key:key] = [_copy(old) for _ in range(chance.choice((1, 2, many)))]
            case _:
                small = isinstance(old, int) or (isinstance(old, str) and len(old) <= _MOST_REPEATED_CHARS)
                holder[key] = old * chance.choice((0, 2, 50)) if small else None
        return value

    def _wrong(self, old: Any, chance: random.Random) -> Any:
        match chance.randrange(6):
            case 0:
                return chance.choice(_PLAIN)
            case 1:
                return chance.choice(_WORDS)
            case 2:
                return f"@@{chance.choice(_VERBATIMS)}@@"
            case 3:
                opening, closing = chance.choice(_NESTS)
                depth = chance.choice(_DEPTHS)
                return f"@@{opening * depth}0{closing * depth}@@"
            case 4:
                return str(old) if isinstance(old, bool | int | float) else chance.choice(_NUMBERS).decode()
            case _:
                return self._value(chance, 3)

    def _value(self, chance: random.Random, depth: int) -> Any:
        if depth == 0 or chance.random() < 0.3:
            return chance.choice((*_PLAIN, *_WORDS))
        if chance.random() < 0.3:
            return [self._value(chance, depth - 1) for _ in range(chance.randint(0, 3))]
        names = chance.choices(self._names, k=chance.randint(0, 5))
        return {name: self._value(chance, depth - 1) for name in names}


# -- bytes ------------------------------------------------------------------------------------------------------------


def edit_bytes(body: bytes, chance: random.Random) -> bytes:
    """One mistake without regard to any structure."""
    if not body:
        return chance.randbytes(chance.randint(0, 8))
    data = bytearray(body)
    at = chance.randrange(len(data))
    end = min(len(data), at + chance.choice((1, 4, 60)))
    match chance.randrange(8):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            del data[at:end]
        case 2:
            data[at:at] = bytes(data[at:end]) * chance.choice((1, 3, 200))
        case 3:
            data[at:at] = chance.randbytes(chance.choice((1, 3, 12)))
        case 4:
            del data[at:]
        case 5:
            data[at:at] = chance.choice((b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b"\xff", b"{", b"]", b'"', b"\\", b":"))
        case 6:
            other = chance.randrange(len(data))
            data[at:end] = data[other : other + end - at]
        case _:
            numbers = list(_NUMBER.finditer(body))
            if numbers:
                found = chance.choice(numbers)
                data[found.start() : found.end()] = chance.choice(_NUMBERS)
    return bytes(data)


# -- values -----------------------------------------------------------------------------------------------------------


def _write(value: Any) -> bytes:
    try:
        text = json.dumps(value)
    except (RecursionError, ValueError):
        return b"{"
    return _VERBATIM.sub(lambda found: json.loads(found[0])[2:-2], text).encode("utf-8", "replace")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Where something stands in `value`: (object, name) and (list, index)."""
    found: list[tuple[Any, Any]] = []
    rest = [value]
    while rest and len(found) < MAX_PLACES:
        holder = rest.pop()
        keys: list[Any] = list(holder) if is_object(holder) else list(range(len(holder))) if is_array(holder) else []
        found.extend((holder, key) for key in keys)
        rest.extend(holder[key] for key in keys)
    return found


def _from(place: tuple[Any, Any]) -> Any:
    return place[0][place[1]]


def _copy(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (RecursionError, ValueError):
        return None


def _names(value: Any) -> list[str]:
    return [key for holder, key in places(value) if isinstance(holder, dict)]


def _short(frames: Sequence[Frame], count: int) -> list[Frame]:
    """At most `count` frames: the first half of them, and the last."""
    if len(frames) <= count:
        return list(frames)
    half = count // 2
    return [*frames[:half], *frames[-half:]]
