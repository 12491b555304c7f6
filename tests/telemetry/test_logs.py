import io
import json

import pytest

from rxlapce.telemetry.logs import logger

KEY = "sk-test-0123456789abcdef"


def fail_with_a_key_among_the_locals() -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    raise LookupError(f"no {len(headers)} of it")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_shows_neither_locals_nor_words(as_json: bool) -> None:
    out = io.StringIO()
    log = logger(out, as_json=as_json)
    try:
        fail_with_a_key_among_the_locals()
    except LookupError as error:
        log.error("handler_failed", exc_info=error)
    assert "LookupError" in out.getvalue()
    assert "no 1 of it" not in out.getvalue()
    assert KEY not in out.getvalue()


def test_events_are_json_lines_with_time_level_and_members() -> None:
    out = io.StringIO()
    log = logger(out).bind(session=3)
    log.info("stream_end", frames=7)
    log.debug("not at this level")
    (line,) = out.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "stream_end", "level": "info", "session": 3, "frames": 7}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("said", ["\x1b]0;title\x07", "\x1b[2J", "a\x9b31mb", "two\nlines", "a\rb", "\u202eback"])
def test_a_terminal_has_nothing_to_obey(as_json: bool, said: str) -> None:
    out = io.StringIO()
    logger(out, as_json=as_json).bind(client=said).warning("protocol_error", message=said)
    line = out.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert said not in line


class Broken(io.StringIO):
    """A pipe whose reader has gone, or a disk that is full."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(as_json: bool) -> None:
    logger(Broken(), as_json=as_json).info("stream_end")
