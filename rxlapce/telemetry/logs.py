"""Structured logs: readable lines on a terminal, one JSON object a line elsewhere."""

import asyncio
import sys
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Protocol, TextIO, cast

import structlog

from rxlapce.telemetry.log_output import Descriptor, Lines, Nowhere, Output, Text

_STANDARD_ERROR: Final = 2
_FIRST: Final = ("timestamp", "level", "event", "provider", "model", "request_id")
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Logger(Protocol):
    """The part of structlog's bound logger that rxlapce uses. An event is a name; what it needs are its members."""

    def bind(self, **members: Any) -> "Logger":
        """A logger that adds `members` to each event."""
        ...

    def debug(self, event: str, **members: Any) -> None:
        """What a developer of rxlapce looks for."""
        ...

    def info(self, event: str, **members: Any) -> None:
        """What happened, as it should."""
        ...

    def warning(self, event: str, **members: Any) -> None:
        """What somebody outside did wrong."""
        ...

    def error(self, event: str, **members: Any) -> None:
        """What rxlapce did wrong."""
        ...


def logger(
    stream: TextIO | None = None,
    *,
    output: Output | None = None,
    level: str = "info",
    as_json: bool | None = None,
    content: bool = False,
) -> Logger:
    """A logger that writes to `stream` (default: standard error), or to `output`, from `level` up. It never waits.

    `as_json` None means: JSON unless `stream` is a terminal. Each event has `timestamp` (ISO 8601, UTC), `level` and
    `event` besides its own members. Lines that are not taken are lost, and told by `log_lines_lost` with their `count`
    once there is room again.

    A traceback shows where and what was raised, and neither locals nor the exceptions' words: keys, prompts and answers
    are among them. With `content` it has the words.
    """
    out = sys.stderr if stream is None else stream
    is_terminal = output is None and _is_terminal(out)
    if as_json is None:
        as_json = not is_terminal
    renderer: Any
    if as_json:
        renderer = structlog.processors.JSONRenderer()
    else:
        # Not structlog's default, which would warn: the traceback is text by then.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=is_terminal, pad_event_to=20, exception_formatter=plain)
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not as_json:
        processors.append(_printable)
    processors += [_traceback_with_words if content else _traceback, _in_order, renderer]

    def notice(count: int) -> str:
        said: Any = {"event": "log_lines_lost", "count": count}
        for process in processors:
            said = process(None, "warning", said)
        return str(said)

    lines = Lines(output or _output_of(out), notice)
    made = structlog.wrap_logger(
        lines,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        context_class=dict,
    )
    # structlog's lazy proxy has these methods, but its type does not say so.
    return cast("Logger", made.bind())


def _in_order(_: object, __: str, members: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The members that each line has in front, where whoever reads the lines finds them."""
    return {name: members[name] for name in _FIRST if name in members} | dict(members)


def loop_errors(log: Logger) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A loop's exception handler that tells what nobody waits for: `loop.set_exception_handler(loop_errors(log))`.

    asyncio's own writes to standard error, words and all.
    """

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # "Exception in callback NAME(ARGUMENTS)": what they are is nobody's business.
        what = str(context.get("message")).partition("(")[0].partition("<")[0].strip()
        log.error("loop_error", what=what, exc_info=context.get("exception"))

    return tell


def traceback_of(error: BaseException, *, words: bool = False) -> str:
    """Where `error` and what is behind it were raised, the first cause first, without what they say unless `words`."""
    parts: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:  # a chain may be bent into a ring
        seen.add(id(one))
        frames = "".join(traceback.format_tb(one.__traceback__))
        said = f": {one}" if words else ""
        parts.append(f"Traceback (most recent call last):\n{frames}{type(one).__qualname__}{said}")
        within: tuple[BaseException, ...] = getattr(one, "exceptions", ())  # a group's
        parts[-1] += "".join(f"\n  with {type(each).__qualname__}" for each in within)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n\n".join(reversed(parts))


def _traceback(_: object, __: str, members: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return _with_traceback(members, words=False)


def _traceback_with_words(_: object, __: str, members: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return _with_traceback(members, words=True)


def _with_traceback(members: MutableMapping[str, Any], *, words: bool) -> MutableMapping[str, Any]:
    """`exc_info`, an exception, as text in `exception`."""
    error = members.pop("exc_info", None)
    if isinstance(error, BaseException):
        members["exception"] = traceback_of(error, words=words)
    return members


def _printable(_: object, __: str, members: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Nothing that a terminal would obey: a client's name and a provider's words are among the members."""
    for name, value in members.items():
        if isinstance(value, str) and not value.isprintable():
            members[name] = repr(value)[1:-1]
    return members


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _output_of(stream: TextIO | None) -> Output:
    """What writes to the stream. To standard error by its descriptor, since a write to the stream itself could wait."""
    if stream is None:  # so Python has it where there was no standard error at the start
        return Nowhere()
    try:
        if stream.fileno() == _STANDARD_ERROR:
            stream.flush()
            return Descriptor(_STANDARD_ERROR)
    except (OSError, ValueError):  # it stands for no descriptor, or is closed
        pass
    return Text(stream)
