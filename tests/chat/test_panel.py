"""The panel's keys and screen, driven by Textual's pilot against a daemon in a process of its own."""

import asyncio
import contextlib
import html
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Collapsible, Input, Markdown, Static
from textual.widgets.markdown import MarkdownFence

from rxlapce.bridge.messages import ConnectionState
from rxlapce.chat.answer_text import AnswerText
from rxlapce.chat.answer_view import AnswerView, CallCard
from rxlapce.chat.app import ChatApp
from rxlapce.chat.chooser import Chooser
from rxlapce.chat.conversation import Wishes
from rxlapce.chat.header import Header
from rxlapce.chat.help import Help
from rxlapce.chat.history import History
from rxlapce.chat.link import Where
from rxlapce.chat.prompt import Prompt
from rxlapce.chat.session import Session
from rxlapce.chat.transcript import Transcript
from rxlapce.chat.turns import Shown, Standing
from rxlapce.messages import ChatStream, ErrorBody, ModelEntry, ModelList, Models, StreamChunk, StreamDone, StreamError
from rxlapce.testing.daemons import daemon_process
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.tokens import Finish, FinishKind, Reasoning, Seam, StreamToken, Text, ToolCall

pytestmark = pytest.mark.heavy

FAST = "simulator/sim:tps=0,tokens=120"
#: Long enough that a test can press keys meanwhile.
SLOW = "simulator/sim:tps=40,tokens=5000"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Path]:
    """The path of a daemon with a simulator."""
    async with daemon_process(tmp_path / "d.sock", "--simulator") as running:
        yield running.path


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "chats")


@contextlib.asynccontextmanager
async def panel(
    path: Path, history: History | None = None, model: str | None = FAST, size: tuple[int, int] = (100, 30)
) -> AsyncGenerator[tuple[ChatApp, Pilot[None]]]:
    """A panel that is connected."""
    session = Session(where=Where(path=path, autostart=False), model=model, history=history or History(None),
                      wishes=Wishes(system="be brief"))  # fmt: skip
    app = ChatApp(session)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.link.state is ConnectionState.CONNECTED)
        yield app, pilot


async def until(pilot: Pilot[None], seen: Callable[[], bool]) -> None:
    """Let the panel go on until it is seen; the test's own timeout is the deadline."""
    while not seen():
        await pilot.pause(0.01)


async def ask(app: ChatApp, pilot: Pilot[None], question: str = "hello") -> None:
    """Write a question and send it."""
    app.query_one(Prompt).text = question
    await pilot.press("enter")
    await until(pilot, lambda: app.conversation.turn is not None or bool(app.conversation.earlier))


async def ended(app: ChatApp, pilot: Pilot[None]) -> Shown:
    """The last answer, when it is whole or has failed."""
    await until(pilot, lambda: app.conversation.turn is None)
    return app.conversation.earlier[-1].shown


def text_of(app: ChatApp, selector: str) -> str:
    """What a line of the screen says."""
    return str(app.query_one(selector, Static).content)


async def test_an_answer_is_drawn_whole_and_kept(daemon: Path, history: History) -> None:
    async with panel(daemon, history) as (app, pilot):
        await ask(app, pilot)
        shown = await ended(app, pilot)
        view = app.query_one(AnswerView)
        await until(pilot, lambda: view.shown.ended)
        assert shown.standing is Standing.DONE
        drawn = "".join(part.source for part in view.query_one(AnswerText).query(Markdown))
        assert drawn == shown.text
        assert "tokens/s" in text_of(app, ".figures")
    (chat,) = history.chats()
    (kept,) = history.load(chat.name)
    assert (kept.question, kept.shown.text) == ("hello", shown.text)


async def test_esc_cancels_and_what_came_stays(daemon: Path, history: History) -> None:
    async with panel(daemon, history, SLOW) as (app, pilot):
        await ask(app, pilot)
        await until(pilot, lambda: app.query_one(AnswerView).shown.counted > 5)
        await pilot.press("escape")
        shown = await ended(app, pilot)
        assert (shown.standing, bool(shown.text)) == (Standing.CANCELLED, True)
        await until(pilot, lambda: "cancelled" in text_of(app, ".figures"))
        await ask(app, pilot, "and now?")  # the next one goes its way
        await until(pilot, lambda: app.conversation.turn is not None and app.query(AnswerView).last().shown.counted > 1)
    standings = [kept.shown.standing for kept in history.load(history.chats()[0].name)]
    assert standings == [Standing.CANCELLED, Standing.CANCELLED]


async def test_without_a_model_the_picker_opens_and_takes_what_is_typed(daemon: Path, history: History) -> None:
    key = history.asked("earlier", FAST, "before")
    assert key
    async with panel(daemon, history, None) as (app, pilot):
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        picker = app.screen
        assert isinstance(picker, Chooser)
        await pilot.press("enter")  # the model that was asked last is marked
        await until(pilot, lambda: app.model == FAST)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        app.screen.query_one(Input).value = "hang"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: app.model == "simulator/sim:fault=hang")
        await pilot.press("ctrl+o")
        app.screen.query_one(Input).value = "elsewhere/model-x"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: app.model == "elsewhere/model-x")


async def test_an_error_says_what_to_do_and_is_asked_again_by_key(daemon: Path) -> None:
    async with panel(daemon, model="simulator/sim:fault=cut,after=5,times=1,tps=0") as (app, pilot):
        await ask(app, pilot)
        shown = await ended(app, pilot)
        assert shown.standing is Standing.FAILED
        await until(pilot, lambda: "Ask again (Ctrl-R)" in text_of(app, ".error"))
        app.query_one(Transcript).focus()
        await pilot.press("r")
        await until(pilot, lambda: app.conversation.turn is None and bool(app.conversation.earlier))
        shown = await ended(app, pilot)
        assert shown.standing is Standing.DONE
        assert len(app.query(AnswerView)) == 1


async def test_a_daemon_that_dies_is_told_and_one_that_comes_back_is_used(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(daemon_process(path, "--simulator"))
        app, pilot = await stack.enter_async_context(panel(path, model=SLOW))
        await ask(app, pilot)
        await until(pilot, lambda: app.query_one(AnswerView).shown.counted > 2)
        await first.kill()
        shown = await ended(app, pilot)
        assert shown.error is not None
        assert shown.error.kind == "truncated"
        await until(pilot, lambda: "disconnected" in text_of(app, "#link"))
        await stack.enter_async_context(daemon_process(path, "--simulator"))
        await until(pilot, lambda: "connected" in app.query_one("#link").classes)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: app.conversation.turn is not None and app.query_one(AnswerView).shown.counted > 2)


async def test_code_and_answer_are_copied_by_key(daemon: Path) -> None:
    async with panel(daemon, model="simulator/sim:tps=0,tokens=400") as (app, pilot):
        await ask(app, pilot, "What is backpressure?")
        shown = await ended(app, pilot)
        await until(pilot, lambda: len(app.query(MarkdownFence)) > 0)
        blocks = [fence.code for fence in app.query(MarkdownFence)]
        await pilot.press("tab")
        copied: list[str] = []
        for _ in blocks:
            await pilot.press("c")
            await pilot.pause()
            copied.append(app.clipboard)
        assert sorted(copied) == sorted(blocks)
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard == shown.text


async def test_thoughts_are_folded_until_one_wants_to_see_them(daemon: Path) -> None:
    async with panel(daemon, model="simulator/sim:tps=0,tokens=20,reasoning=30") as (app, pilot):
        await ask(app, pilot)
        shown = await ended(app, pilot)
        folded = app.query_one(Collapsible)
        await until(pilot, lambda: folded.title.startswith("Thought for"))
        assert folded.collapsed
        await pilot.press("tab", "t")
        await until(pilot, lambda: text_of(app, ".thoughts") == shown.reasoning)


async def test_a_new_conversation_and_an_earlier_one(daemon: Path, history: History) -> None:
    async with panel(daemon, history) as (app, pilot):
        await ask(app, pilot, "the first")
        await ended(app, pilot)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not app.query(AnswerView))
        await ask(app, pilot, "the second")
        await ended(app, pilot)
        assert len(history.chats()) == 2
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        app.screen.query_one(Input).value = "first"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query(AnswerView)) and app.query_one(AnswerView).question == "the first")
        await ask(app, pilot, "and on")
        await until(pilot, lambda: len(app.conversation.earlier) == 2)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press("ctrl+d")
        assert len(history.chats()) == 2  # once is a warning
        await pilot.press("ctrl+d")
        await until(pilot, lambda: len(history.chats()) == 1)


async def test_up_brings_back_what_was_asked_and_ctrl_j_begins_a_line(daemon: Path) -> None:
    async with panel(daemon) as (app, pilot):
        for question in ("one", "two"):
            await ask(app, pilot, question)
            await ended(app, pilot)
        prompt = app.query_one(Prompt)
        await pilot.press("d", "up")
        assert prompt.text == "two"
        await pilot.press("up")
        assert prompt.text == "one"
        await pilot.press("down", "down")
        assert prompt.text == "d"
        await pilot.press("ctrl+j", "e")
        assert prompt.text == "d\ne"


async def test_help_tells_all_keys_and_leaves(daemon: Path) -> None:
    async with panel(daemon) as (app, pilot):
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help))


@pytest.mark.parametrize("size", [(60, 15), (200, 60)])
async def test_every_size_shows_answer_prompt_and_connection(daemon: Path, size: tuple[int, int]) -> None:
    async with panel(daemon, size=size) as (app, pilot):
        await ask(app, pilot)
        await ended(app, pilot)
        await pilot.pause()
        for widget in (app.query_one(Header), app.query_one(Prompt), app.query_one(".figures")):
            assert app.screen.region.contains_region(widget.region), widget
        assert app.query_one(Transcript).size.height >= size[1] // 3


async def test_who_scrolls_up_stays_there_while_the_answer_grows(daemon: Path) -> None:
    async with panel(daemon, model="simulator/sim:tps=60,tokens=3000", size=(60, 15)) as (app, pilot):
        await ask(app, pilot)
        transcript = app.query_one(Transcript)
        await until(pilot, lambda: transcript.max_scroll_y > 12)
        await pilot.press("pageup", "pageup")
        await pilot.pause()
        at, below = transcript.scroll_y, transcript.max_scroll_y
        await until(pilot, lambda: transcript.max_scroll_y > below + 4)
        assert transcript.scroll_y == at
        transcript.scroll_end(animate=False)
        below = transcript.max_scroll_y
        await until(pilot, lambda: transcript.max_scroll_y > below + 4)
        await until(pilot, lambda: transcript.scroll_y == transcript.max_scroll_y)


async def test_an_answer_at_full_speed_is_taken_as_fast_as_it_is_drawn(daemon: Path) -> None:
    async with panel(daemon, model="simulator/sim:tps=0,tokens=100000") as (app, pilot):
        await ask(app, pilot)
        await until(pilot, lambda: app.link.flow.closings > 3)
        turn = app.conversation.turn
        assert turn is not None
        view = app.query_one(AnswerView)
        ahead = turn.shown().counted - view.shown.counted
        assert ahead <= 512  # what the window lets come between two drawings
        await pilot.press("x")
        assert app.query_one(Prompt).text == "x"


# -- what a simulator does not say ------------------------------------------------------------------------------------


async def play(peer: RawPeer, *tokens: StreamToken, end: Finish | ErrorBody, gate: asyncio.Event | None = None) -> None:
    """Answer the question for models, then the first request by `tokens`; `gate` is waited for before the end."""
    while True:
        number, message = await peer.receive()
        if isinstance(message, Models):
            peer.send(ModelList(models=(ModelEntry(name="fake/m", provider="fake"),)), number)
        elif isinstance(message, ChatStream):
            break
    for seq, token in enumerate(tokens):
        peer.send(StreamChunk(seq=seq, token=token), number)
    if gate is not None:
        await gate.wait()
    last = StreamDone(seq=len(tokens), finish=end) if isinstance(end, Finish) else StreamError(len(tokens), end)
    peer.send(last, number)
    with contextlib.suppress(Exception):
        await peer.receive_all()


async def test_tool_calls_are_shown_as_their_arguments_arrive(tmp_path: Path) -> None:
    gate = asyncio.Event()
    pieces = (
        ToolCall(index=0, id="c", name="look_\x1b[31mup", arguments_delta='{"where": '),
        ToolCall(index=0, arguments_delta='"here"'),
    )
    end = Finish(kind=FinishKind.TOOL_CALLS)

    async def script(peer: RawPeer) -> None:
        await play(peer, *pieces, end=end, gate=gate)

    async with fake_daemon(tmp_path / "d.sock", script), panel(tmp_path / "d.sock", model="fake/m") as (app, pilot):
        await ask(app, pilot)
        await until(pilot, lambda: bool(app.query(CallCard)))
        card = app.query_one(CallCard)
        assert str(card.border_title) == "tool look_[31mup"
        await until(pilot, lambda: '{"where": "here"' in str(card.query_one(Static).content))
        gate.set()
        await until(pilot, lambda: "asks for a tool" in text_of(app, ".figures"))


async def test_a_seam_takes_back_what_was_drawn_and_says_so(tmp_path: Path) -> None:
    gate = asyncio.Event()
    tokens = (
        Reasoning(text="hm"),
        Text(text="# wrong\n\nend"),
        Seam(leg=1, reason="restart: overloaded"),
        Text(text="right"),
    )

    async def script(peer: RawPeer) -> None:
        await play(peer, *tokens, end=Finish(kind=FinishKind.STOP), gate=gate)

    async with fake_daemon(tmp_path / "d.sock", script), panel(tmp_path / "d.sock", model="fake/m") as (app, pilot):
        await ask(app, pilot)
        await until(pilot, lambda: "begins the answer anew" in text_of(app, ".seams"))
        gate.set()
        shown = await ended(app, pilot)
        assert shown.text == "right"
        await until(pilot, lambda: [part.source for part in app.query_one(AnswerText).query(Markdown)] == ["right"])


async def test_an_answer_that_ends_while_it_is_drawn_is_drawn_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    sync = AnswerView.sync

    async def slow(view: AnswerView, shown: Shown) -> None:
        await sync(view, shown)
        turn = app.conversation.turn
        while shown.counted and turn is not None and not turn.ended:  # the screen is busy until all has come
            gate.set()
            await asyncio.sleep(0.001)

    async def script(peer: RawPeer) -> None:
        await play(peer, Text(text="all of it"), end=Finish(kind=FinishKind.LENGTH), gate=gate)

    async with fake_daemon(tmp_path / "d.sock", script), panel(tmp_path / "d.sock", model="fake/m") as (app, pilot):
        monkeypatch.setattr(AnswerView, "sync", slow)
        await ask(app, pilot)
        shown = await ended(app, pilot)
        assert (shown.standing, app.query_one(AnswerView).shown) == (Standing.DONE, shown)


async def test_what_is_said_for_the_terminal_does_nothing(tmp_path: Path) -> None:
    evil = "\x1b]52;c;aGk=\x07[bold]\x1b[2Jx\u202ey"

    async def script(peer: RawPeer) -> None:
        error = ErrorBody(kind="auth", retry="never", phase="flow", message=f"[red]{evil}", provider=evil, status=401)
        await play(peer, Text(text=evil), end=error)

    async with fake_daemon(tmp_path / "d.sock", script), panel(tmp_path / "d.sock", model="fake/m") as (app, pilot):
        await ask(app, pilot, f"q{evil}")
        await ended(app, pilot)
        await until(pilot, lambda: "[red]" in text_of(app, ".error"))
        everything = html.unescape(app.export_screenshot()).replace("\xa0", " ")
        assert not set("\x1b\x07\u202e") & set(everything)
        assert "[bold]" in everything


async def test_a_question_sent_before_there_is_a_model_is_asked_when_one_is_chosen(daemon: Path) -> None:
    async with panel(daemon, model=None) as (app, pilot):
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press("escape")
        app.query_one(Prompt).text = "already written"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"tps=0", "enter")
        await until(pilot, lambda: app.conversation.questions == ["already written"])
        assert app.query_one(Prompt).text == ""
