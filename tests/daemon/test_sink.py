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
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Seam, StreamToken, Text, ToolCall
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


# -- how much the client has -----------------------------------------------------------------------------------------

STOPPING = ProviderError(ErrorKind.CANCELLED, "the daemon is stopping")


@pytest.mark.parametrize(
    ("tokens", "delivered"),
    [
        ([], None),
        ([Reasoning("hm")], 0),
        ([Text("ab"), Text("c\N{SLIGHTLY SMILING FACE}"), Text("of another", choice=1)], 4),
        ([Text("ab"), Seam(1, "restart: b/y answers"), Text("c")], 1),
        ([Text("ab"), Seam(1, "continue: b/y answers"), Text("c")], 3),
        ([Text("ab"), ToolCall(0, "i", "f", ""), Text("c"), Seam(1, "rewind: b/y answers"), Text("de")], 4),
        ([Text("ab"), ToolCall(0, "i", "f", ""), Seam(1, "restart: b"), Text("c"), Seam(2, "rewind: c")], 1),
    ],
    ids=["nothing", "thoughts", "text", "restart", "continue", "rewind", "restart-then-rewind"],
)
async def test_an_end_that_is_the_daemons_own_says_how_much_the_client_has(
    tokens: list[StreamToken], delivered: int | None
) -> None:
    stream, source = Stream(), Subject[StreamToken]()
    stream.start(source)
    for token in tokens:
        source.on_next(token)
    stream.sink.cancel(STOPPING)
    assert stream.error().error.delivered_chars == delivered
    assert STOPPING.delivered_chars is None, "the error is also other streams'"


async def test_text_that_waits_for_credit_is_not_told_as_delivered() -> None:
    stream, source = Stream(credit=1), Subject[StreamToken]()
    stream.start(source)
    source.on_next(Text("abc"))
    source.on_next(Text("waits"))
    stream.sink.cancel(STOPPING)
    assert stream.error().error.delivered_chars == 3


async def test_what_the_pipeline_says_of_the_delivered_stays() -> None:
    stream, source = Stream(), Subject[StreamToken]()
    stream.start(source)
    source.on_next(Text("abc"))
    told = ProviderError(ErrorKind.TRUNCATED, "broke off")
    told.delivered_chars = 2
    source.on_error(told)
    assert stream.error().error.delivered_chars == 2
