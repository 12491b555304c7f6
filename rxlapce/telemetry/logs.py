"""Structured logs: readable lines on a terminal, one JSON object a line elsewhere."""

import contextlib
import io
import sys
from typing import Any, Protocol, TextIO, cast

import structlog

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


class _Unfailing(io.TextIOBase):
    """A stream whose lines are lost when they cannot be written: a full disk or a gone reader ends no request."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write, or count the line as lost."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._out.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._out.flush()


def logger(stream: TextIO | None = None, *, level: str = "info", as_json: bool | None = None) -> Logger:
    """A logger that writes to `stream` (default: standard error), from `level` up.

    `as_json` None means: JSON unless `stream` is a terminal. Each event has `timestamp` (ISO 8601, UTC), `level` and
    `event` besides its own members.
    """
    out = sys.stderr if stream is None else stream
    if as_json is None:
        as_json = not out.isatty()
    renderer: Any
    if as_json:
        renderer = structlog.processors.JSONRenderer()
    else:
        # Not structlog's default, which shows the locals of each frame: keys, prompts and answers are among them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=20, exception_formatter=plain)
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        processors.append(structlog.processors.format_exc_info)
    made = structlog.wrap_logger(
        structlog.PrintLogger(cast("TextIO", _Unfailing(out))),  # typeshed's TextIO is no base of io.TextIOBase
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        context_class=dict,
    )
    # structlog's lazy proxy has these methods, but its type does not say so.
    return cast("Logger", made.bind())
