"""A request of any API, read into one shape: what the simulator needs of it and no more.

Unknown members are accepted, as the vendors do; what they answer with HTTP 400 raises `BadBody`.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, Final, TypeVar

import msgspec


class BadBody(ValueError):
    """A body that the vendor would refuse with HTTP 400. `param` is the member at fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Where(msgspec.Struct, frozen=True):
    """Where a request went: the decoded path under the simulator's root, its query, and what stood for `{model}`.

    `model` is decoded too, so it may hold any character, a `/` as well; None where the pattern has no `{model}`.
    """

    path: str
    query: Mapping[str, str] = {}
    model: str | None = None


#: For readers that do not care.
NOWHERE: Final = Where(path="")


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool that the request offers; `schema` is the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any]


class Voice(Enum):
    """Who speaks in a turn."""

    USER = auto()
    MODEL = auto()
    OTHER = auto()  # the system, a tool, or an item that nobody says


class Spoken(msgspec.Struct, frozen=True):
    """A turn by its words alone: `text` as it was said, character for character, and the tool `results` it brings."""

    voice: Voice
    text: str = ""
    results: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """What was asked. `prompt` is the last user turn's text, `heard` the text of all turns (it is what is counted).

    `json_schema` is what the answer must fit: {} is any JSON object, None any text. `encrypted`: reasoning is wanted
    back in a sealed form too; `hide_reasoning`: only so. `repeated` are the members that the answer repeats. `turns` is
    the conversation; () where the request is one text to go on from.
    """

    model: str
    options: str
    prompt: str
    heard: str
    images: int = 0
    stream: bool = False
    include_usage: bool = False
    obfuscate: bool = True
    choices: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    must_call: bool = False
    may_call: bool = True
    only_tool: str | None = None
    tool_results: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    thinking: bool = False
    encrypted: bool = False
    hide_reasoning: bool = False
    repeated: Mapping[str, Any] = {}
    turns: tuple[Spoken, ...] = ()


_T = TypeVar("_T")

MOST_CHOICES: Final = 128


def decode_body(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """The typed body. Raises `BadBody` in the words of msgspec, which name the member."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        words = str(error)
        param = words.split("`")[1] if "missing required field" in words else None
        message = f"Missing required parameter: '{param}'." if param else words
        raise BadBody(message, param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBody(f"We could not parse the JSON body of your request: {error}") from None


def check_max_tokens(max_tokens: int | None, name: str = "max_tokens") -> None:
    """Raise `BadBody` for a limit under one."""
    if max_tokens is not None and max_tokens < 1:
        raise BadBody(f"Invalid '{name}': expected a value >= 1, but got {max_tokens} instead.", name)


def check_choices(number: int | None) -> int:
    """How many answers are asked for. Raises `BadBody`."""
    choices = 1 if number is None else number
    if not 1 <= choices <= MOST_CHOICES:
        raise BadBody(f"Invalid 'n': expected a value from 1 to {MOST_CHOICES}, but got {choices} instead.", "n")
    return choices


def stops_of(stop: str | list[str] | None) -> tuple[str, ...]:
    """The stop sequences of a member that may be one or many."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def joined(texts: Iterable[str]) -> str:
    """The texts that are not empty, a line each."""
    return "\n".join(text for text in texts if text)
