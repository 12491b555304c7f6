"""What a caller can ask of the simulator: one frozen record, its one syntax, and the table that documents it.

    key=value,key=value            (`;` separates as well as `,`; blanks around a pair are ignored)

The same text stands after the colon of a model's name (`sim:tps=20,fault=cut,after=40`) or in a header
(`X-Simulate: tps=20; fault=cut; after=40`), so any client can be pointed at any behaviour without code of its own.
The header wins over the name, and the name over what the simulator was started with. A suffix without `=`
(`llama3:8b`) is part of the name. An unknown key or a value out of range is the vendor's own HTTP 400, which says what
is allowed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final

HEADER: Final = "x-simulate"


class BadOption(ValueError):
    """An option that does not exist, or a value that it does not take; the message says what would be right."""


class Fault(StrEnum):
    """How the simulator misbehaves. A fault in the stream happens after `after` tokens of any kind."""

    NONE = "none"
    # before the headers
    HANG = "hang"
    RESET = "reset"
    AUTH = "auth"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    CONTEXT_LENGTH = "context_length"
    BLOCKED = "blocked"
    # in the stream
    STALL = "stall"
    CUT = "cut"
    END = "end"
    ERROR = "error"
    MALFORMED = "malformed"
    HUGE = "huge"
    NO_FINISH = "no_finish"
    NO_DONE = "no_done"


FAULTS: Final[Mapping[Fault, str]] = {
    Fault.NONE: "behaves",
    Fault.HANG: "takes the request and never answers, not even with headers",
    Fault.RESET: "resets the connection (TCP RST): before the headers, or after `after` tokens if that is given",
    Fault.AUTH: "HTTP 401, the vendor's body for a wrong key",
    Fault.QUOTA: "the vendor's error for an account without money: retrying never helps",
    Fault.RATE_LIMIT: "HTTP 429 with the vendor's rate limit body and headers",
    Fault.OVERLOADED: "HTTP 503 or 529, the vendor's body for overload",
    Fault.CONTEXT_LENGTH: "HTTP 400, the vendor's body for a prompt that is too long",
    Fault.BLOCKED: "the vendor's error for a prompt that its content filter blocks: HTTP 400 or 403",
    Fault.STALL: "falls silent after `after` tokens and keeps the connection open",
    Fault.CUT: "closes the connection after `after` tokens, in the middle of the HTTP body",
    Fault.END: "ends the HTTP body properly after `after` tokens, without the terminal event",
    Fault.ERROR: "says the vendor's error event after `after` tokens (the status was 200), then ends the body",
    Fault.MALFORMED: "says one event of broken JSON after `after` tokens, then goes on",
    Fault.HUGE: "says one event with `size` bytes of text after `after` tokens, then goes on",
    Fault.NO_FINISH: "leaves out the event that tells why the answer ended",
    Fault.NO_DONE: "leaves out the last event (`[DONE]`, `message_stop`)",
}

#: Faults that are an HTTP error of the vendor's rather than bytes on the stream.
REFUSALS: Final = frozenset(
    {Fault.AUTH, Fault.QUOTA, Fault.RATE_LIMIT, Fault.OVERLOADED, Fault.CONTEXT_LENGTH, Fault.BLOCKED}
)


class Ending(StrEnum):
    """Why the answer says it ended; `auto` is stop, length or tool calls, whichever is true."""

    AUTO = "auto"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"


def _number(help_text: str, default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


def _count(help_text: str, default: int | None, low: int, high: int) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


_HOUR_S: Final = 3600.0
_BILLION: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One request's behaviour. Times are seconds; None leaves it to the request or to the answer's own length."""

    tps: float = _number("answer tokens a second; 0 is as fast as the reader takes them", 0.0, 0, 1e6)
    ttft: float = _number("seconds of silence before the first token", 0.0, 0, _HOUR_S)
    jitter: float = _number("how much the gaps vary, as a part of the mean gap", 0.0, 0, 1)
    tokens: int | None = _count("exact number of answer tokens (for each choice)", None, 0, _BILLION)
    reasoning: int | None = _count("number of reasoning tokens before the answer", None, 0, _BILLION)
    tools: int | None = _count("number of tool calls, of the tools that the request offers; 0 for none", None, 0, 64)
    finish: Ending = field(default=Ending.AUTO, metadata={"help": "why the answer ends"})
    fault: Fault = field(default=Fault.NONE, metadata={"help": "see the list of faults"})
    after: int | None = _count("tokens of any kind before the fault (20 if not given)", None, 0, _BILLION)
    times: int = _count("only the first so many requests with this very text misbehave; 0 is all", 0, 0, _BILLION)
    status: int | None = _count("answer with this HTTP status and the vendor's body for it", None, 400, 599)
    retry_after: float | None = _count("seconds, in the headers of an HTTP error", None, 0, 86_400)
    size: int = _count("bytes of text in the event of fault=huge", 1 << 20, 1, 64 << 20)
    keepalive: float = _number("seconds of silence between keep-alives (comment or ping); 0 for none", 0.0, 0, _HOUR_S)
    split: int | None = _count("bytes a write, wherever that cuts; 0 is a seeded random number", None, 0, 1 << 20)
    crlf: int = _count("1 ends lines with CR LF", 0, 0, 1)
    steady: int = _count(
        "1: the seed and the prompt alone decide what is said, and a begun answer is gone on with", 0, 0, 1
    )
    overlap: int = _count(
        "characters of a begun answer that are said again before it goes on (steady=1)", 0, 0, 1 << 20
    )
    prefill: int = _count("0 refuses a conversation that ends in an assistant's turn, with the vendor's 400", 1, 0, 1)

    @property
    def fault_after(self) -> int:
        """Tokens before the fault."""
        return DEFAULT_AFTER if self.after is None else self.after

    def well_behaved(self) -> "Options":
        """The same pace and answer without the misbehaviour: what `times` falls back to."""
        return replace(self, fault=Fault.NONE, status=None)


DEFAULT_AFTER: Final = 20


def _convert(name: str, text: str, default: object, annotation: str, bounds: Mapping[str, float]) -> object:
    if isinstance(default, StrEnum):
        kinds = type(default)
        try:
            return kinds(text)
        except ValueError:
            raise BadOption(f"{name}={text}: expected one of {', '.join(kinds)}") from None
    kind = float if "float" in annotation else int
    low, high = bounds["low"], bounds["high"]
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        word = "a number" if kind is float else "a whole number"
        raise BadOption(f"{name}={text}: expected {word} from {low:g} to {high:g}")
    return value


def parse(text: str, base: Options | None = None) -> Options:
    """Return `base` with the pairs of `text` put over it. Raises `BadOption`."""
    known = {option.name: option for option in fields(Options)}
    changes: dict[str, Any] = {}
    for pair in text.replace(";", ",").split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not name and not equals:
            continue
        option = known.get(name)
        if option is None or not equals:
            raise BadOption(f"{pair.strip()!r} is no option: expected key=value with a key of {', '.join(known)}")
        changes[name] = _convert(name, value, option.default, str(option.type), option.metadata)
    return replace(base or Options(), **changes)


def split_model(model: str) -> tuple[str, str]:
    """Return a model's plain name, and the options after its colon ("" if there are none)."""
    name, _, suffix = model.partition(":")
    return (name, suffix) if "=" in suffix else (model, "")


def describe() -> str:
    """Every option and fault with its meaning, default and range: what `--help` shows."""
    lines = ["Options (key=value):"]
    for option in fields(Options):
        default = "" if option.default in (None, Fault.NONE, Ending.AUTO) else f" [default {option.default}]"
        lines.append(f"  {option.name:<12} {option.metadata['help']}{default}")
    lines += ["", f"finish is one of: {', '.join(Ending)}", "", "Faults (fault=NAME):"]
    lines += [f"  {fault.value:<15} {meaning}" for fault, meaning in FAULTS.items()]
    return "\n".join(lines)


#: Model names worth trying, with what they do: `GET /v1/models` and the command line list them.
SHOWCASE: Final[Mapping[str, str]] = {
    "sim": "answers at the pace the simulator was started with",
    "sim:tps=0": "answers as fast as it is read",
    "sim:tps=0,tokens=100000": "a hundred thousand tokens in one answer",
    "sim:tps=5": "slow enough to read along",
    "sim:ttft=8": "thinks for eight seconds before the first token",
    "sim:ttft=8,keepalive=1": "the same, with a keep-alive every second",
    "sim:reasoning=60": "reasons before it answers",
    "sim:finish=length": "runs out of tokens",
    "sim:finish=content_filter": "is stopped by the content filter",
    "sim:finish=refusal": "refuses",
    "sim:status=429,retry_after=2,times=2": "rate limited twice, then answers",
    "sim:fault=overloaded": "always overloaded",
    "sim:fault=hang": "never answers",
    "sim:fault=stall,after=40": "falls silent in mid-answer",
    "sim:fault=cut,after=40": "the connection breaks in mid-answer",
    "sim:fault=end,after=40": "the body ends in mid-answer as if nothing were wrong",
    "sim:fault=error,after=40": "an error event in mid-answer",
    "sim:split=1": "byte by byte",
}
