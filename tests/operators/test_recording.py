from pathlib import Path

import pytest
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.record import SecretScrubber, record
from rxlapce.operators.recording import read_recording
from rxlapce.secret import Secret

HEADER = '{"format":"rxlapce-recording","version":1,"model":"m"}\n'


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


def written(folder: Path, text: str) -> Path:
    path = folder / "a.rec"
    path.write_text(text)
    return path


def test_a_recording_is_read_with_its_header_its_reads_and_its_end(tmp_path: Path) -> None:
    text = HEADER + '{"t":1.5,"b64":"YQ=="}\n{"t":2,"tomorrow":1}\n{"t":4,"b64":"Yg=="}\n{"t":6,"end":"completed"}\n'
    recording = read_recording(written(tmp_path, text))
    assert recording.header.model == "m"
    assert recording.reads == ((1.5, b"a"), (4.0, b"b"))
    assert recording.body == b"ab"
    assert recording.whole
    assert recording.end is not None
    assert recording.end.t == 6


@pytest.mark.parametrize("rest", ["", '{"t":2,"b64":"Y', '{"t":2,"b64":"%"}\n'])
def test_a_torn_recording_is_read_up_to_the_tear_and_has_no_end(tmp_path: Path, rest: str) -> None:
    recording = read_recording(written(tmp_path, HEADER + '{"t":1.5,"b64":"YQ=="}\n' + rest))
    assert recording.reads == ((1.5, b"a"),)
    assert recording.end is None
    assert not recording.whole


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: {}\n", "a.rec is no recording that this version can play: JSON is malformed"),
        ('{"format":"rxlapce-recording","version":2}\n', "Invalid enum value 2 - at `$.version`"),
        ("", "Input data was truncated"),
    ],
)
def test_what_is_no_recording_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"a\.rec is no recording that this version can play") as raised:
        read_recording(written(tmp_path, text))
    assert told in str(raised.value)


def test_an_http_error_is_recorded_with_its_body_and_what_its_headers_tell(tmp_path: Path) -> None:
    scheduler, source = TestScheduler(), Subject[bytes]()
    exchange = Exchange(provider="acme", model="m")
    tap = record(
        tmp_path / "a.rec",
        exchange=exchange,
        api="openai.chat.completions",
        framing="sse",
        scrubber=lambda: SecretScrubber([Secret("sk-0123456789")]),
        on_trouble=unexpected,
    )
    source.pipe(tap).subscribe(lambda _: None, lambda _: None, scheduler=scheduler)
    scheduler.advance_to(2)
    exchange.status, exchange.content_type, exchange.answered_s = 429, "application/json", 1.5
    exchange.headers, exchange.refusal = {"retry-after": "3"}, b'{"error": "not sk-0123456789"}'
    source.on_error(ProviderError(ErrorKind.RATE_LIMIT, "slow down", phase=Phase.HEADERS, status=429))

    recording = read_recording(tmp_path / "a.rec")
    header = recording.header
    assert (header.status, header.headers, header.answered, header.framing) == (429, {"retry-after": "3"}, 1.5, "sse")
    assert recording.body == b'{"error": "not [redacted]"}'
    assert recording.end is not None
    assert recording.end.error is not None
    assert recording.end.error.revived().kind is ErrorKind.RATE_LIMIT


def test_what_is_not_known_of_a_response_is_left_out(tmp_path: Path) -> None:
    source = Subject[bytes]()
    source.pipe(record(tmp_path / "a.rec", on_trouble=unexpected)).subscribe(scheduler=TestScheduler())
    source.on_completed()
    first = (tmp_path / "a.rec").read_text().splitlines()[0]
    for name in ("framing", "path", "headers", "answered"):
        assert f'"{name}"' not in first
