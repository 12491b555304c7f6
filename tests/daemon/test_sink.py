"""The end of a pipeline: exactly one terminal frame, whatever the tokens are and whatever comes after it."""

import pytest
import reactivex as rx
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject

import rxlapce.daemon.sink as sink_module
from rxlapce.codec.frame import Frame, FrameDecoder
from rxlapce.daemon.sink import CHUNK, DONE, FAILED, StreamSink
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.messages import StreamError, decode
from rxlapce.operators.stages import StageGauges
from rxlapce.testing.transports import loop_rounds
from rxlapce.tokens import Finish, FinishKind, Opaque, StreamToken, Text
from rxlapce.transports.writer import FrameWriter

END = Finish(FinishKind.STOP, "stop", "m")


class Lane:
    """A lane that takes everything."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.on_room = lambda: None

    def write(self, data: bytearray | memoryview) -> int:
        self.data += data
        return len(data)

    def frames(self) -> list[Frame]:
        return FrameDecoder().feed(self.data)


class Stream:
    """A sink of one stream, and what became of it."""

    def __init__(self, credit: int | None = None) -> None:
        self.lane = Lane()
        self.writer = FrameWriter(self.lane)
        self.outcomes: list[str] = []
        self.exchange = Exchange()
        self.stages = StageGauges()
        self.sink = StreamSink(
            7, self.writer, self.exchange, credit, lambda _, outcome: self.outcomes.append(outcome), self.stages
        )

    def start(self, source: rx.Observable[StreamToken]) -> None:
        self.sink.start(source, ImmediateScheduler())

    def frames(self) -> list[Frame]:
        self.writer.flush()
        return self.lane.frames()

    def numbers(self) -> list[int]:
        return [frame.number for frame in self.frames()]

    def error(self) -> StreamError:
        message = decode(FAILED, self.frames()[-1].payload, receiver="client")
        assert isinstance(message, StreamError)
        return message


async def test_tokens_become_chunks_and_the_finish_the_terminal_frame() -> None:
    stream = Stream()
    stream.start(rx.of(Text("a"), Text("b"), END))
    assert stream.numbers() == [CHUNK, CHUNK, DONE]
    assert stream.outcomes == ["stop"]
    assert stream.sink.seq == 2


async def test_nothing_is_sent_after_the_terminal_frame() -> None:
    stream = Stream()
    stream.start(rx.of(Text("a"), END, Text("late"), END))
    assert stream.numbers() == [CHUNK, DONE]
    assert stream.outcomes == ["stop"]


async def test_a_source_that_does_not_complete_after_its_finish_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "FINISH_GRACE_S", 0.0)
    stream, source = Stream(), Subject[StreamToken]()
    stream.start(source)
    source.on_next(END)
    await loop_rounds()
    assert not source.observers
    assert stream.numbers() == [DONE]


async def test_completion_without_a_finish_is_truncated() -> None:
    stream = Stream()
    stream.start(rx.of(Text("a")))
    assert stream.numbers() == [CHUNK, FAILED]
    assert (stream.error().error.kind, stream.error().seq) == (ErrorKind.TRUNCATED, 1)


async def test_a_token_that_no_frame_holds_ends_its_stream_and_its_source() -> None:
    for token in (Opaque("big", "\\" * 6_000_000), Text("\ud800")):
        stream, source = Stream(), Subject[StreamToken]()
        stream.start(source)
        source.on_next(Text("a"))
        source.on_next(token)
        assert not source.observers
        assert stream.numbers() == [CHUNK, FAILED]
        assert stream.error().error.kind == ErrorKind.PROTOCOL
        assert stream.outcomes == ["protocol"]


async def test_such_a_token_in_the_queue_does_not_stop_whoever_opens_the_gate() -> None:
    stream, source = Stream(credit=0), Subject[StreamToken]()
    stream.start(source)
    source.on_next(Opaque("big", "\\" * 6_000_000))
    stream.sink.add_credit(10)
    assert stream.numbers() == [FAILED]


async def test_an_error_that_holds_what_utf_8_cannot_is_told_all_the_same() -> None:
    stream = Stream()
    stream.start(rx.throw(ProviderError(ErrorKind.AUTH, "no\udcff" * 5000, request_id="r\udcff", raw="\udcff")))
    assert stream.numbers() == [FAILED]
    assert stream.error().error.message.startswith("no?no?")


async def test_credit_counts_chunks_and_not_the_end() -> None:
    stream, source = Stream(credit=2), Subject[StreamToken]()
    stream.start(source)
    for text in "abc":
        source.on_next(Text(text))
    assert stream.numbers() == [CHUNK, CHUNK]
    stream.sink.add_credit(1)
    assert stream.numbers() == [CHUNK, CHUNK, CHUNK]
    source.on_next(END)
    assert stream.numbers() == [CHUNK, CHUNK, CHUNK, DONE]


async def test_cancel_says_its_error_once_and_drop_says_nothing() -> None:
    stream, source = Stream(), Subject[StreamToken]()
    stream.start(source)
    stream.sink.cancel(ProviderError(ErrorKind.CANCELLED, "stop"))
    stream.sink.cancel(ProviderError(ErrorKind.CANCELLED, "stop"))
    assert stream.numbers() == [FAILED]
    dropped, source = Stream(), Subject[StreamToken]()
    dropped.start(source)
    dropped.sink.drop()
    assert not source.observers
    assert (dropped.numbers(), dropped.outcomes) == ([], [])
