"""The sinks besides the client: what they keep, what they leave out, and that the client notices nothing."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rxlapce.codec.frame import FrameDecoder
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.messages import NUMBERS, StreamChunk, StreamDone, StreamError, decode
from rxlapce.operators.tap import Outcome
from rxlapce.pipeline.copies.answers import read_answer, scrubbing
from rxlapce.pipeline.copies.folder import STALE_S, RecordingFolder
from rxlapce.pipeline.copies.line import Ended, LineBounds, LinedCopy, Taken, WhenFull
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.needs import needs_of
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.traffic import Traffic
from rxlapce.routing.way import Site
from rxlapce.secret import Secret
from rxlapce.testing.asking import Collected
from rxlapce.testing.examples import Troubles
from rxlapce.testing.sse_server import sse_server
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text

Managed = Callable[[str], ProviderManager]
REQUEST = ChatRequest(model="openai/a:tokens=9", messages=(Message(role="user", content="hello"),))


class Held:
    """A carrier that carries when it is let, as a slow disk or reader does."""

    def __init__(self) -> None:
        self.carried: list[StreamToken] = []
        self.ended: Ended | None = None
        self.given_up = False
        self.error: Exception | None = None
        self.let = asyncio.Event()
        self.asked = asyncio.Event()

    async def carry(self, taken: Sequence[Taken]) -> None:
        self.asked.set()
        await self.let.wait()
        if self.error is not None:
            raise self.error
        self.carried += [one.token for one in taken]

    async def finish(self, ended: Ended) -> None:
        self.ended = ended

    def give_up(self) -> None:
        self.given_up = True


def site_of(traffic: Traffic, exchange: Exchange | None = None) -> Site:
    return Site(
        exchange=exchange or Exchange(request_id="1.1"),
        request=REQUEST,
        needs=needs_of(REQUEST),
        traffic=traffic,
        settings=traffic.settings,
        chance=lambda: 0.5,
        providers={},
    )


def pieces(count: int) -> list[Text]:
    return [Text(f"{number} ") for number in range(count)]


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(RoutingSettings())


async def test_a_full_line_drops_what_comes_and_says_how_much_and_the_source_goes_on(traffic: Traffic) -> None:
    held, site = Held(), site_of(traffic)
    copy = LinedCopy(site, ("p", "slow"), held, LineBounds(capacity=4, when_full=WhenFull.DROP_NEWEST))
    copy.take(Text("first"))
    await held.asked.wait()
    for token in pieces(10):
        copy.take(token)
    assert site.exchange.flow.is_open
    copy.end(Outcome.COMPLETED)
    held.let.set()
    await traffic.aclose()
    assert held.carried == [Text("first"), *pieces(4)]
    assert held.ended is not None
    assert (held.ended.dropped, held.ended.outcome, held.given_up) == (6, Outcome.COMPLETED, True)
    counts = traffic.copied["p", "slow"]
    assert (counts.streams, counts.tokens, counts.dropped, counts.incomplete, counts.failed) == (1, 5, 6, 1, 0)


async def test_under_pause_the_source_waits_until_half_of_the_line_has_gone_and_nothing_is_lost(
    traffic: Traffic,
) -> None:
    held, site = Held(), site_of(traffic)
    copy = LinedCopy(site, ("p", "slow"), held, LineBounds(capacity=4, when_full=WhenFull.PAUSE))
    copy.take(Text("first"))
    await held.asked.wait()
    for token in pieces(6):  # what one read brings beyond the bound is taken too
        copy.take(token)
    assert not site.exchange.flow.is_open
    held.let.set()
    async with asyncio.timeout(5):
        await site.exchange.flow.wait_open()
    copy.end(Outcome.COMPLETED)
    await traffic.aclose()
    assert held.carried == [Text("first"), *pieces(6)]
    assert traffic.copied["p", "slow"].dropped == 0


async def test_a_sink_that_fails_is_told_once_and_holds_up_nobody_any_more(traffic: Traffic) -> None:
    told = Troubles()
    traffic.on_trouble = told.tell
    held, site = Held(), site_of(traffic)
    held.error = OSError("no space")
    copy = LinedCopy(site, ("p", "slow"), held, LineBounds(capacity=2, when_full=WhenFull.PAUSE))
    copy.take(Text("first"))
    await held.asked.wait()
    for token in pieces(3):
        copy.take(token)
    assert not site.exchange.flow.is_open
    held.let.set()
    async with asyncio.timeout(5):
        await site.exchange.flow.wait_open()
    copy.take(Text("late"))
    copy.end(Outcome.COMPLETED)
    await traffic.aclose()
    assert told == [("p", "slow", "1.1", held.error)]
    assert (held.carried, held.ended, held.given_up) == ([], None, True)
    assert traffic.copied["p", "slow"].failed == 1


async def test_a_copy_that_hangs_is_given_up_when_the_daemon_stops(traffic: Traffic) -> None:
    held = Held()
    copy = LinedCopy(site_of(traffic), ("p", "slow"), held, LineBounds(capacity=2, when_full=WhenFull.DROP_NEWEST))
    copy.take(Text("first"))
    copy.end(Outcome.COMPLETED)
    await traffic.aclose(within_s=0.01)
    assert held.given_up
    assert len(traffic.tasks) == 0


# -- recordings -------------------------------------------------------------------------------------------------------


async def ended(manager: ProviderManager, model: str = REQUEST.model) -> list[StreamToken]:
    request = ChatRequest(model=model, messages=REQUEST.messages)
    got = Collected(manager.chat_stream(request, Exchange(request_id="4.2", user="ada", client="../lapce")))
    error = await got.end()
    if error is not None:
        raise error
    return got.items


async def test_a_recording_of_an_answer_that_fails_has_the_error(managed: Managed, tmp_path: Path) -> None:
    manager = managed(f"pipelines: {{default: {{sinks: [editor, {{record: {{folder: {tmp_path}/r}}}}]}}}}")
    with pytest.raises(ProviderError):
        await ended(manager, "openai/a:fault=error;after=5")
    await manager.traffic.aclose()
    (path,) = (tmp_path / "r").iterdir()
    kept = read_answer(path)
    assert kept.end is not None
    assert (kept.end.end, kept.end.provider) == (Outcome.FAILED, "openai")
    assert kept.end.error is not None
    assert kept.end.error.kind is ErrorKind.OVERLOADED
    assert kept.end.error.message
    assert (kept.header.user, kept.header.client) == ("ada", "../lapce")
    assert path.name.endswith("-4.2.answer")


async def test_a_key_that_a_model_repeats_is_in_no_recording(managed: Managed, tmp_path: Path) -> None:
    manager = managed(
        f"pipelines: {{default: {{stages: [{{record: {{folder: {tmp_path}/r}}}}, decode, token_map], "
        f"sinks: [editor, {{record: {{folder: {tmp_path}/r}}}}]}}}}"
    )
    async with sse_server(["your key is simul", "ated-k", "ey, it says simulated-key"]) as base_url:
        asked = manager.router.providers["openai"]
        manager.router.providers["openai"] = replace(asked, base_url=f"{base_url}/v1")
        got = await ended(manager)
    await manager.traffic.aclose()
    assert "simulated-key" in "".join(token.text for token in got if isinstance(token, Text))
    answer, played = sorted((tmp_path / "r").iterdir(), key=lambda path: path.suffix)
    assert "your key is [redacted], it says [redacted]" in "".join(
        token.text for _, token in read_answer(answer).tokens if isinstance(token, Text)
    )
    assert "simulated" not in answer.read_text()
    sent = [json.loads(line).get("b64", "") for line in played.read_text().splitlines()]
    assert b"simulated-key" not in b"".join(base64.b64decode(read) for read in sent)


async def test_of_an_answer_that_is_too_long_the_beginning_is_kept_and_how_much_is_missing(
    managed: Managed, tmp_path: Path
) -> None:
    manager = managed(
        f"pipelines: {{default: {{sinks: [editor, {{record: {{folder: {tmp_path}/r, max_bytes: 300}}}}]}}}}"
    )
    got = await ended(manager, "openai/a:tokens=40")
    await manager.traffic.aclose()
    (path,) = (tmp_path / "r").iterdir()
    kept = read_answer(path)
    assert kept.end is not None
    assert not kept.whole
    assert 1 < len(kept.tokens) < 10
    assert len(kept.tokens) + kept.end.dropped <= len(got)


def test_what_was_cut_off_is_read_as_far_as_its_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.answer.part"
    path.write_text(
        '{"format":"rxlapce-answer","version":1,"new_member":2}\n{"t":0.5,"token":{"type":"text","text":"a"}}\n{"t":0.'
    )
    kept = read_answer(path)
    assert (kept.tokens, kept.end, kept.whole) == (((0.5, Text("a")),), None, False)
    path.write_text('{"format":"rxlapce-recording","version":1}\n')
    with pytest.raises(ValueError, match="no recording of an answer"):
        read_answer(path)


def test_a_secret_is_taken_out_however_it_is_cut() -> None:
    from reactivex.subject import Subject

    scrub = scrubbing([Secret("sk-1.234(5)"), Secret("short"), Secret("sk-1.234(5)6")])
    assert scrub is not None
    for at in range(1, 11):
        source, got = Subject[StreamToken](), list[StreamToken]()
        scrub(source).subscribe(got.append)
        for piece in ("the sk-1.234(5)"[: 4 + at], "sk-1.234(5)"[at:], " short"):
            source.on_next(Text(piece))
        source.on_next(Finish(FinishKind.STOP))
        said = "".join(token.text for token in got if isinstance(token, Text))
        assert said == "the [redacted] short"
    assert scrubbing([Secret("short")]) is None


def test_a_folder_keeps_the_newest_and_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    folder = RecordingFolder(path=tmp_path, suffix=".rec", keep_files=3, keep_bytes=25)
    for name in ("a.rec", "b.rec.part", "c.rec", "d.rec", "e.rec"):
        (tmp_path / name).write_bytes(b"x" * 10)
    (tmp_path / "0.txt").write_bytes(b"x" * 100)
    folder.tidy()
    # One that is under way is nobody's to remove; it takes its place all the same.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "b.rec.part", "e.rec"]
    modified_s = (tmp_path / "b.rec.part").stat().st_mtime
    RecordingFolder(path=tmp_path, suffix=".rec", keep_files=1, keep_bytes=25).tidy(
        now_s=lambda: modified_s + STALE_S + 1
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "e.rec"]


def test_names_of_recordings_are_new_sorted_by_time_and_stay_in_their_folder(tmp_path: Path) -> None:
    folder = RecordingFolder(path=tmp_path, suffix=".rec", keep_files=3, keep_bytes=25)
    paths = [folder.new_path(who) for who in ("../../etc/x", "", "7.1")]
    assert sorted(paths) == paths
    assert {path.parent for path in paths} == {tmp_path}


# -- the socket -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listener(path: Path, *, reads: bool = True) -> AsyncGenerator[list[bytes]]:
    """Whoever listens at `path`; what each connection brought, when it has ended."""
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reads:
            said.append(await reader.read())
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield said


def frames_of(data: bytes) -> list[StreamChunk | StreamDone | StreamError]:
    told: list[StreamChunk | StreamDone | StreamError] = []
    for frame in FrameDecoder(known=NUMBERS.values()).feed(data):
        message = decode(frame.number, frame.payload, receiver="client")
        assert isinstance(message, StreamChunk | StreamDone | StreamError)
        told.append(message)
    return told


def over_socket(path: Path, more: str = "") -> str:
    return f"pipelines: {{default: {{sinks: [editor, {{unix: {{path: {path}{more}}}}}]}}}}"


async def test_whoever_listens_gets_the_frames_that_a_client_would(managed: Managed, tmp_path: Path) -> None:
    async with listener(tmp_path / "s") as said:
        manager = managed(over_socket(tmp_path / "s"))
        got = await ended(manager)
        await manager.traffic.aclose()
    told = frames_of(said[0])
    assert [message.seq for message in told] == list(range(len(got)))
    assert [message.token for message in told if isinstance(message, StreamChunk)] == got[:-1]
    assert isinstance(told[-1], StreamDone)


async def test_where_nobody_listens_the_client_has_its_answer_and_the_trouble_is_told(
    managed: Managed, tmp_path: Path
) -> None:
    manager = managed(over_socket(tmp_path / "nobody"))
    told = Troubles()
    manager.traffic.on_trouble = told.tell
    assert isinstance((await ended(manager))[-1], Finish)
    await manager.traffic.aclose()
    assert [type(error) for *_, error in told] == [FileNotFoundError]


async def test_another_users_listener_gets_nothing(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_else(_: object) -> int:
        return os.geteuid() + 1

    monkeypatch.setattr("rxlapce.pipeline.copies.socket.peer_uid", somebody_else)
    async with listener(tmp_path / "s") as said:
        manager = managed(over_socket(tmp_path / "s"))
        told = Troubles()
        manager.traffic.on_trouble = told.tell
        assert isinstance((await ended(manager))[-1], Finish)
        await manager.traffic.aclose()
    assert [type(error) for *_, error in told] == [PermissionError]
    assert said in ([], [b""])


async def test_a_copy_that_lacks_tokens_ends_in_an_error_that_says_so(managed: Managed, tmp_path: Path) -> None:
    async with listener(tmp_path / "s") as said:
        manager = managed(over_socket(tmp_path / "s", ", capacity: 1"))
        got = await ended(manager, "openai/a:tokens=30")
        await manager.traffic.aclose()
    last = frames_of(said[0])[-1]
    assert isinstance(last, StreamError)
    assert last.error.kind == "overloaded"
    assert "too slow for" in last.error.message
    assert isinstance(got[-1], Finish)
