"""Every way in which a provider, a request or a handler fails ends in exactly one terminal frame that says how."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import reactivex
from reactivex import Observable

from rxlapce.bridge import connect
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.messages import (
    Chat,
    ChatResponse,
    ChatStream,
    Complete,
    CompleteStream,
    ErrorBody,
    Heartbeat,
    ProviderCommand,
    StreamChunk,
    StreamDone,
    StreamError,
)
from rxlapce.providers.http import HttpTimeouts
from rxlapce.requests import CompletionRequest
from rxlapce.routing.settings import StreamTimeouts
from rxlapce.simulator import Simulator
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import Collected, ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, bare, embedded_daemon
from rxlapce.testing.peer import RawPeer
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text


@dataclass(frozen=True)
class Fault:
    """What the simulator is asked to do, and the error that it must become after so many tokens."""

    options: str
    kind: str
    phase: str
    status: int | None = 200
    tokens: int = 0
    retry_after_s: float | None = None
    anthropic_status: int | None = None
    words: str = ""


FAULTS = [
    Fault("fault=auth", "auth", "headers", 401),
    Fault("fault=rate_limit,retry_after=7", "rate_limit", "headers", 429, retry_after_s=7),
    Fault("fault=overloaded,retry_after=0", "overloaded", "headers", 503, retry_after_s=0, anthropic_status=529),
    Fault("fault=context_length", "context_length", "headers", 400),
    Fault("status=500", "overloaded", "headers", 500),
    Fault("speed=1", "bad_request", "headers", 400, words="expected key=value"),
    Fault("fault=reset", "network", "headers", None),
    Fault("fault=hang", "timeout", "headers", None, words="no response headers within 0.4 s"),
    Fault("fault=stall,after=0", "timeout", "first_token", words="no token within 0.5 s"),
    Fault("fault=stall,after=0,keepalive=0.05", "timeout", "first_token", words="without a token"),
    Fault("fault=stall,after=5", "timeout", "flow", tokens=5, words="nothing arrived for 0.6 s"),
    Fault("fault=cut,after=6", "truncated", "flow", tokens=6),
    Fault("fault=cut,after=0", "truncated", "flow"),
    Fault("fault=end,after=6", "truncated", "flow", tokens=6),
    Fault("fault=malformed,after=6", "protocol", "flow", tokens=6),
]
LIMITS = HttpTimeouts(connect_s=2, headers_s=0.4, answer_s=2)
STREAM_LIMITS = StreamTimeouts(first_token_s=0.5, idle_s=0.6)


@pytest.fixture
async def impatient(simulator: Simulator, path: Path) -> AsyncIterator[EmbeddedDaemon]:
    """A daemon that soon takes a provider for dead."""
    providers = simulated(simulator.base_url)
    async with embedded_daemon(
        DaemonSettings(path=path), *providers, http_timeouts=LIMITS, routing=bare(STREAM_LIMITS)
    ) as running:
        yield running


async def frames_of(peer: RawPeer, command: ProviderCommand) -> tuple[list[StreamChunk], StreamDone | StreamError]:
    """All frames of a stream; fails unless they are numbered without a gap and end exactly once."""
    peer.send(command, 7)
    chunks: list[StreamChunk] = []
    end: StreamDone | StreamError | None = None
    while end is None:
        request_id, message = await peer.receive()
        assert request_id == 7
        if isinstance(message, StreamChunk):
            chunks.append(message)
        else:
            assert isinstance(message, StreamDone | StreamError), message
            end = message
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert end.seq == len(chunks)
    # Had the daemon anything more to say, it would be in front of the echo.
    peer.send(Heartbeat(echo=True), 8)
    assert await peer.receive() == (8, Heartbeat())
    return chunks, end


def check(error: ErrorBody, fault: Fault, provider: str) -> None:
    status = fault.anthropic_status if provider == "anthropic" and fault.anthropic_status else fault.status
    assert (error.kind, error.phase, error.status) == (fault.kind, fault.phase, status)
    assert (error.provider, error.retry_after_s) == (provider, fault.retry_after_s)
    assert fault.words in error.message


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.options)
async def test_a_providers_failure_is_one_error_after_the_tokens_before_it(
    impatient: EmbeddedDaemon, fault: Fault, provider: str
) -> None:
    async with await RawPeer.greeted(impatient.path) as peer:
        command = ChatStream(request=ask(f"tokens=20,{fault.options}", provider=provider))
        chunks, end = await frames_of(peer, command)
        assert isinstance(end, StreamError), end
        check(end.error, fault, provider)
        assert sum(isinstance(chunk.token, Text) for chunk in chunks) == fault.tokens
        assert impatient.daemon.requests == 0


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_error_event_in_the_stream_is_its_end(impatient: EmbeddedDaemon, provider: str) -> None:
    async with await RawPeer.greeted(impatient.path) as peer:
        chunks, end = await frames_of(peer, ChatStream(request=ask("fault=error,after=4", provider=provider)))
        assert isinstance(end, StreamError)
        assert end.error.kind in ("overloaded", "internal")
        assert (end.error.phase, end.error.status) == ("flow", 200)
        assert sum(isinstance(chunk.token, Text) for chunk in chunks) == 4


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_reset_in_mid_answer_is_one_error_after_what_arrived(impatient: EmbeddedDaemon, provider: str) -> None:
    """A reset overtakes what the kernel still holds, so how much arrived is not for us to say."""
    async with await RawPeer.greeted(impatient.path) as peer:
        command = ChatStream(request=ask("fault=reset,after=6,tps=500", provider=provider))
        chunks, end = await frames_of(peer, command)
        assert isinstance(end, StreamError)
        assert (end.error.kind, end.error.phase) == ("truncated", "flow")
        assert sum(isinstance(chunk.token, Text) for chunk in chunks) <= 6


async def test_a_missing_last_event_is_truncated_only_where_the_answer_needs_it(impatient: EmbeddedDaemon) -> None:
    """OpenAI's finish has been said before `[DONE]`; Anthropic's `message_stop` is the end itself."""
    async with await RawPeer.greeted(impatient.path) as peer:
        _, end = await frames_of(peer, ChatStream(request=ask("tokens=5,fault=no_done", provider="openai")))
        assert isinstance(end, StreamDone)
        _, end = await frames_of(peer, ChatStream(request=ask("tokens=5,fault=no_done", provider="anthropic")))
        assert isinstance(end, StreamError)
        assert end.error.kind == "truncated"
        _, end = await frames_of(peer, ChatStream(request=ask("tokens=5,fault=no_finish", provider="openai")))
        assert isinstance(end, StreamDone)
        assert end.finish.raw is None


async def test_an_event_larger_than_a_frame_is_one_error(embedded: EmbeddedDaemon) -> None:
    async with await RawPeer.greeted(embedded.path) as peer:
        command = ChatStream(request=ask("tokens=9,fault=huge,after=3,size=11000000", provider="openai"))
        chunks, end = await frames_of(peer, command)
        assert isinstance(end, StreamError)
        assert (end.error.kind, len(chunks)) == ("protocol", 3)


@pytest.mark.heavy
async def test_an_answer_larger_than_a_frame_is_an_error_that_says_what_to_do(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        with pytest.raises(ProviderError, match="a frame at most 10,485,760: ask for it as a stream") as caught:
            await client.chat(ask("tokens=3000000", provider="openai"))
        assert caught.value.retry is Retry.NEVER
        await client.ping()


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.phase in ("headers", "connect")], ids=lambda fault: fault.options
)
async def test_an_answer_in_one_piece_fails_with_the_same_error(impatient: EmbeddedDaemon, fault: Fault) -> None:
    async with await connect(impatient.path) as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat(ask(fault.options, provider="openai"))
        check(ErrorBody(**caught.value.to_dict()), fault, "openai")
        assert client.open_requests == 0


@pytest.mark.parametrize("fault", ["cut", "end"])
async def test_half_an_answer_in_one_piece_is_no_answer(impatient: EmbeddedDaemon, fault: str) -> None:
    async with await connect(impatient.path) as client:
        with pytest.raises(ProviderError) as caught:
            await client.chat(ask(f"fault={fault}", provider="openai"))
        assert caught.value.kind in (ErrorKind.TRUNCATED, ErrorKind.PROTOCOL)


async def test_an_unknown_provider_is_told_with_those_that_are_there(embedded: EmbeddedDaemon) -> None:
    async with await connect(embedded.path) as client:
        for asked in (client.chat(ask(provider="nobody")), anext(aiter(client.chat_stream(ask(provider="nobody"))))):
            words = "no provider 'nobody'; configured providers: anthropic, openai"
            with pytest.raises(ProviderError, match=words) as caught:
                await asked
            assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


async def test_what_a_dialect_cannot_say_is_refused_before_anything_is_sent(
    embedded: EmbeddedDaemon, simulator: Simulator
) -> None:
    async with await connect(embedded.path) as client:
        for asked in (
            client.chat(ask(provider="anthropic", seed=1)),
            anext(aiter(client.chat_stream(ask(provider="anthropic", seed=1)))),
        ):
            with pytest.raises(ProviderError, match="takes no seed") as caught:
                await asked
            assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
            assert caught.value.provider == "anthropic"
    assert simulator.requests == []


# -- handlers of somebody else's ------------------------------------------------------------------------------------


class Handled:
    """A daemon whose handlers do what `answer` and `source` say."""

    def __init__(self, path: Path) -> None:
        self.daemon = Daemon(DaemonSettings(path=path), log=logger(level="error", as_json=True))
        self.source: Observable[StreamToken] | Exception = reactivex.never()
        self.daemon.register_streaming_handler(ChatStream, self.stream)
        self.daemon.register_handler(Chat, self.chat)

    def stream(self, command: ProviderCommand, exchange: Exchange) -> Observable[StreamToken]:
        if isinstance(self.source, Exception):
            raise self.source
        return self.source

    async def chat(self, command: ProviderCommand, exchange: Exchange) -> ChatResponse:
        raise LookupError("no such thing")


@pytest.fixture
async def handled(path: Path) -> AsyncIterator[Handled]:
    handled = Handled(path)
    await handled.daemon.start()
    yield handled
    await handled.daemon.stop(drain_s=0)


FINISH = Finish(FinishKind.STOP)


@pytest.mark.parametrize(
    ("source", "tokens", "kind", "words"),
    [
        (LookupError("in the handler"), 0, "internal", "LookupError in the handler: in the handler"),
        (reactivex.throw(LookupError("in the stream")), 0, "internal", "LookupError inside rxlapce: in the stream"),
        (reactivex.of(Text("a"), Text("b")), 2, "truncated", "completed without a finish"),
        (reactivex.empty(), 0, "truncated", "completed without a finish"),
        (reactivex.of(Text("a"), "no token"), 1, "internal", ""),
    ],
)
async def test_a_handlers_bug_ends_its_own_stream_in_one_error(
    handled: Handled,
    source: Observable[StreamToken] | Exception,
    tokens: int,
    kind: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with await RawPeer.greeted(handled.daemon.settings.path) as peer:
        handled.source = source
        chunks, end = await frames_of(peer, ChatStream(request=ask()))
        assert isinstance(end, StreamError)
        assert (end.error.kind, len(chunks)) == (kind, tokens)
        assert words in end.error.message
        assert handled.daemon.requests == 0


async def test_a_handlers_bug_is_logged_and_ends_its_own_request(
    handled: Handled, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await connect(handled.daemon.settings.path) as client:
        with pytest.raises(ProviderError, match="LookupError in the handler: no such thing") as caught:
            await client.chat(ask())
        assert caught.value.kind is ErrorKind.INTERNAL
        await client.ping()


@pytest.mark.parametrize("command", [Complete, CompleteStream])
async def test_a_command_that_nobody_serves_is_an_error_of_its_own(
    handled: Handled, command: type[Complete | CompleteStream], capsys: pytest.CaptureFixture[str]
) -> None:
    async with await RawPeer.greeted(handled.daemon.settings.path) as peer:
        peer.send(command(request=CompletionRequest(model="a/b", prompt="p")), 4)
        request_id, message = await peer.receive()
        assert request_id == 4
        assert isinstance(message, StreamError)
        assert message.error.kind == "internal"


def test_a_command_has_one_handler(path: Path) -> None:
    async def scenario() -> None:
        handled = Handled(path)
        for register in (handled.daemon.register_handler, handled.daemon.register_streaming_handler):
            with pytest.raises(ValueError, match="Chat has a handler already"):
                register(Chat, handled.chat)  # type: ignore[arg-type]  # which of the two does not matter here

    asyncio.run(scenario())


async def test_what_a_handler_says_after_its_finish_is_not_sent(handled: Handled) -> None:
    handled.source = reactivex.concat(reactivex.of(Text("a"), FINISH, Text("late")), reactivex.never())
    async with await RawPeer.greeted(handled.daemon.settings.path) as peer:
        chunks, end = await frames_of(peer, ChatStream(request=ask()))
        assert [chunk.token for chunk in chunks] == [Text("a")]
        assert isinstance(end, StreamDone)


# -- subscribers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["shm", "socket"])
async def test_a_subscribers_own_exception_ends_its_own_stream_and_is_reported(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: str
) -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))

    def on_next(token: StreamToken) -> None:
        raise LookupError("in the subscriber")

    async with await connect(embedded.path, transport="shm" if transport == "shm" else "socket") as client:
        other = Collected(client.chat_stream(ask("tokens=3000", provider="openai")))
        await other.until(1)
        client.chat_stream(ask("fault=stall,after=1", provider="openai")).subscribe(on_next, lambda error: None)
        await simulator.wait_until(lambda: len(simulator.served) == 2 and simulator.served[1].outcome is not None)
        assert await other.end() is None
        assert client.open_requests == 0
    assert [str(error) for error in reported] == ["in the subscriber"]
