import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import SchedulerBase
from reactivex.notification import OnCompleted, OnError, OnNext
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, iterate
from rxlapce.operators.record import record
from rxlapce.operators.replay import replay
from rxlapce.testing.thoroughness import examples

HEADER = '{"format":"rxlapce-recording","version":1,"provider":"acme","model":"m","status":200,"content_type":"t/e"}\n'
TWO = '{"t":1.5,"b64":"YQ=="}\n{"t":4,"b64":"Yg=="}\n'
END = '{"t":6,"end":"completed"}\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "a.rec"
    path.write_text(text, "ascii")
    return path


def play(source: Observable[bytes], scheduler: TestScheduler | None = None) -> list[tuple[float, object]]:
    """What comes out, with the seconds since the subscription."""
    out: list[tuple[float, object]] = []
    for message in (scheduler or TestScheduler()).start(lambda: source).messages:
        value = message.value
        seconds = round(float(message.time) - 200, 1)
        if isinstance(value, OnNext):
            out.append((seconds, value.value))
        elif isinstance(value, OnError):
            assert isinstance(value.exception, ProviderError)
            out.append((seconds, (value.exception.kind, value.exception.message)))
        else:
            assert isinstance(value, OnCompleted)
            out.append((seconds, "end"))
    return out


@pytest.mark.parametrize(
    ("speed", "times_s"), [(1.0, [1.5, 4, 6]), (2.0, [0.8, 2, 3]), (0.5, [3, 8, 12]), (0.0, [0, 0, 0])]
)
def test_marbles_bytes_come_at_their_times_divided_by_the_speed(
    tmp_path: Path, speed: float, times_s: list[float]
) -> None:
    got = play(replay(written(tmp_path, HEADER + TWO + END), speed=speed))
    assert [what for _, what in got] == [b"a", b"b", "end"]
    assert [time_s for time_s, _ in got] == pytest.approx(times_s, abs=0.1)


def test_each_subscription_plays_from_the_start(tmp_path: Path) -> None:
    source = replay(written(tmp_path, HEADER + TWO + END), speed=0)
    assert [what for _, what in play(source)] == [what for _, what in play(source)] == [b"a", b"b", "end"]


def test_nothing_comes_while_the_gate_is_closed_and_what_is_due_when_it_opens(tmp_path: Path) -> None:
    scheduler, exchange = TestScheduler(), Exchange()

    def shut(_: SchedulerBase, __: object = None) -> None:
        exchange.flow.close("reader")

    def reopen(_: SchedulerBase, __: object = None) -> None:
        exchange.flow.open("reader")

    scheduler.schedule_absolute(201, shut)
    scheduler.schedule_absolute(205, reopen)
    got = play(replay(written(tmp_path, HEADER + TWO + END), exchange=exchange), scheduler)
    assert got == [(5.0, b"a"), (5.0, b"b"), (6.0, "end")]
    assert (exchange.reads, exchange.bytes_read) == (2, 2)
    assert exchange.last_read_s == pytest.approx(205, abs=0.1)


def test_a_gate_that_is_closed_by_the_bytes_stops_them(tmp_path: Path) -> None:
    exchange = Exchange()
    got: list[bytes] = []

    def on_next(data: bytes) -> None:
        got.append(data)
        exchange.flow.close("reader")

    scheduler = TestScheduler()
    source = replay(written(tmp_path, HEADER + TWO + END), speed=0, exchange=exchange)
    with source.subscribe(on_next, scheduler=scheduler):
        scheduler.advance_to(50)
        assert got == [b"a"]
        exchange.flow.open("reader")
        scheduler.advance_to(60)
        assert got == [b"a", b"b"]


def test_the_exchange_is_told_what_the_http_client_would_tell(tmp_path: Path) -> None:
    exchange = Exchange(model="mine")
    play(replay(written(tmp_path, HEADER + END), exchange=exchange))
    assert (exchange.provider, exchange.model, exchange.status, exchange.content_type) == ("acme", "mine", 200, "t/e")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "a.rec is torn: it has no end after its line 2"),
        ('{"t":4,"b64":"Y', "a.rec is torn in line 3"),
        ('{"t":4,"b64":"Yg=="}', "a.rec is torn in line 3"),
        ("\x00\x00\n", "a.rec is torn: line 3: JSON is malformed: invalid character (byte 0)"),
    ],
)
def test_marbles_a_torn_file_is_played_up_to_the_tear_and_says_so(tmp_path: Path, rest: str, message: str) -> None:
    got = play(replay(written(tmp_path, HEADER + '{"t":1.5,"b64":"YQ=="}\n' + rest)))
    assert got == [(1.5, b"a"), (pytest.approx(1.5, abs=0.1), (ErrorKind.TRUNCATED, message))]


def test_a_recorded_error_is_told_as_it_was(tmp_path: Path) -> None:
    error = ProviderError(
        ErrorKind.OVERLOADED,
        "busy",
        retry=Retry.OTHER_KEY,
        phase=Phase.HEADERS,
        retry_after_s=0.0,
        status=503,
        provider="acme",
        request_id="r",
        raw="{}",
    )
    error.delivered_chars = 7
    path = written(tmp_path, HEADER + json.dumps({"t": 2, "end": "failed", "error": error.to_dict()}) + "\n")
    errors: list[Exception] = []
    scheduler = TestScheduler()
    replay(path).subscribe(on_error=errors.append, scheduler=scheduler)
    scheduler.advance_to(5)
    (told,) = errors
    assert isinstance(told, ProviderError)
    assert told.to_dict() == error.to_dict()


def test_a_recording_whose_reader_left_ends_as_cancelled(tmp_path: Path) -> None:
    got = play(replay(written(tmp_path, HEADER + '{"t":1,"end":"disposed"}\n')))
    assert got == [(1.0, (ErrorKind.CANCELLED, "the recording ends where its reader left the stream"))]


@pytest.mark.parametrize("text", ["", "{}", HEADER.replace(":1", ":2"), "\x7fELF", HEADER.replace("200", '"200"')])
def test_what_is_no_recording_is_told(tmp_path: Path, text: str) -> None:
    ((_, failure),) = play(replay(written(tmp_path, text)))
    assert str(failure).startswith("(<ErrorKind.INTERNAL: 'internal'>, ")
    assert "cannot replay: a.rec is no recording that this version can play: " in str(failure)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    ((_, failure),) = play(replay(tmp_path / "none"))
    assert "cannot replay: [Errno 2]" in str(failure)


def test_disposing_stops_the_playing_and_closes_the_file(tmp_path: Path) -> None:
    exchange, scheduler = Exchange(), TestScheduler()
    got: list[object] = []
    source = replay(written(tmp_path, HEADER + TWO + END), exchange=exchange)
    subscription = source.subscribe(got.append, got.append, lambda: got.append("end"), scheduler=scheduler)
    scheduler.advance_to(2)
    subscription.dispose()
    exchange.flow.close("reader")
    exchange.flow.open("reader")
    scheduler.advance_to(50)
    assert got == [b"a"]  # a file left open would be a ResourceWarning, which is an error here


async def test_without_a_scheduler_it_plays_on_the_running_loop(tmp_path: Path) -> None:
    source = replay(written(tmp_path, HEADER + TWO + END), speed=0)
    assert [data async for data in iterate(source)] == [b"a", b"b"]
    done = asyncio.Event()
    source.subscribe(on_completed=done.set)
    await done.wait()


@settings(max_examples=examples(40))
@given(
    reads=st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=40)), max_size=10),
    end=st.sampled_from([None, ProviderError(ErrorKind.NETWORK, "gone")]),
)
def test_what_was_recorded_is_what_is_replayed(reads: list[tuple[int, bytes]], end: ProviderError | None) -> None:
    reads.sort(key=lambda read: read[0])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.rec"
        source: Subject[bytes] = Subject()
        scheduler = TestScheduler()
        troubles: list[Exception] = []
        source.pipe(record(path, on_trouble=troubles.append)).subscribe(on_error=lambda _: None, scheduler=scheduler)
        for time_s, data in reads:
            scheduler.advance_to(time_s)
            source.on_next(data)
        scheduler.advance_to(60)
        if end is None:
            source.on_completed()
        else:
            source.on_error(end)
        got = play(replay(path))
    assert troubles == []
    assert [what for _, what in got] == [
        *(data for _, data in reads),
        "end" if end is None else (end.kind, end.message),
    ]
    assert [time_s for time_s, _ in got] == pytest.approx([*(time_s for time_s, _ in reads), 60], abs=0.2)


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_out_of_range_is_refused(tmp_path: Path, speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        replay(tmp_path / "a", speed=speed)
