"""The panel at a bad moment: what is pressed, deleted or opened while something else is half done."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, Markdown, OptionList

from rxlapce.bridge.messages import ConnectionState, ConnectionStatus
from rxlapce.chat.answer_text import AnswerText
from rxlapce.chat.answer_view import AnswerView
from rxlapce.chat.app import ChatApp
from rxlapce.chat.chooser import Chooser
from rxlapce.chat.header import Header
from rxlapce.chat.history import History
from rxlapce.chat.link import StartSimulator, Where
from rxlapce.chat.prompt import Prompt
from rxlapce.chat.session import Session
from rxlapce.chat.turns import Standing
from rxlapce.errors import ConfigError
from rxlapce.messages import ModelEntry
from rxlapce.testing.daemons import daemon_process

pytestmark = pytest.mark.heavy

FAST = "simulator/sim:tps=0,tokens=60"
SLOW = "simulator/sim:tps=40,tokens=5000"


@contextlib.asynccontextmanager
async def panel(
    folder: Path, model: str | None = FAST, start: StartSimulator | None = None
) -> AsyncGenerator[tuple[ChatApp, Pilot[None]]]:
    """A panel with a history; connected to a daemon of its own, or with `start` to none."""
    path = folder / "d.sock"
    session = Session(where=Where(path=path, autostart=False), model=model, history=History(folder / "chats"),
                      start_simulator=start)  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        if start is None:
            await stack.enter_async_context(daemon_process(path, "--simulator"))
        app = ChatApp(session)
        pilot = await stack.enter_async_context(app.run_test(size=(100, 30)))
        settled = ConnectionState.CONNECTED if start is None else ConnectionState.DISCONNECTED
        while app.link.state is not settled:
            await pilot.pause(0.01)
        yield app, pilot


async def answered(app: ChatApp, pilot: Pilot[None], question: str) -> None:
    """Ask, and wait until the answer is kept."""
    app.query_one(Prompt).text = question
    many = len(app.conversation.earlier)
    await pilot.press("enter")
    while len(app.conversation.earlier) == many:
        await pilot.pause(0.01)


async def streaming(app: ChatApp, pilot: Pilot[None], question: str) -> None:
    """Ask, and wait until some of the answer is on the screen."""
    app.query_one(Prompt).text = question
    await pilot.press("enter")
    while not app.query(AnswerView) or app.query(AnswerView).last().shown.counted < 3:
        await pilot.pause(0.01)


async def chosen(app: ChatApp, pilot: Pilot[None], key: str) -> Chooser:
    """Press a key that opens a list."""
    await pilot.press(key)
    while not isinstance(app.screen, Chooser):
        await pilot.pause(0.01)
    return app.screen


def drawn(view: AnswerView) -> str:
    """The text of an answer on the screen."""
    return "".join(part.source for part in view.query_one(AnswerText).query(Markdown))


async def test_a_view_that_is_slow_to_come_leaves_the_answer_before_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming, gate, drawings = asyncio.Event(), asyncio.Event(), asyncio.Event()
    on_mount, show = AnswerView.on_mount, Header.show

    async def slow(view: AnswerView) -> None:
        if view.question == "two":
            coming.set()
            await gate.wait()
        await on_mount(view)

    def told(head: Header, *args: Any, **more: Any) -> None:  # each drawing begins with it
        show(head, *args, **more)
        asyncio.get_running_loop().call_later(0.05, drawings.set)

    monkeypatch.setattr(AnswerView, "on_mount", slow)
    monkeypatch.setattr(Header, "show", told)
    async with panel(tmp_path) as (app, pilot):
        await answered(app, pilot, "one")
        first = app.query_one(AnswerView)
        text = drawn(first)
        app.query_one(Prompt).text = "two"
        app.query_one(Prompt).action_send()
        await coming.wait()
        app.on_status(ConnectionStatus(state=ConnectionState.CONNECTED))  # something to draw, whatever it is
        drawings.clear()
        await drawings.wait()
        seen = drawn(first), first.shown.standing
        gate.set()
        assert seen == (text, Standing.DONE)
        while len(app.conversation.earlier) < 2:
            await pilot.pause(0.01)


async def test_what_is_typed_on_after_enter_is_not_sent_and_stays(tmp_path: Path) -> None:
    async with panel(tmp_path) as (app, pilot):
        for key in ("h", "i", "enter", "m", "o", "r", "e"):  # all of it before the panel looks at any
            app.post_message(Key(key, None if key == "enter" else key))
        while not app.conversation.earlier:
            await pilot.pause(0.01)
        assert (app.conversation.questions, app.query_one(Prompt).text) == (["hi"], "more")


async def test_a_conversation_that_is_deleted_while_it_is_answered_stays_deleted(tmp_path: Path) -> None:
    async with panel(tmp_path, SLOW) as (app, pilot):
        await streaming(app, pilot, "a secret")
        await chosen(app, pilot, "ctrl+l")
        await pilot.press("ctrl+d", "ctrl+d", "escape", "escape")
        while app.conversation.turn is not None:
            await pilot.pause(0.01)
        assert list((tmp_path / "chats").iterdir()) == []


async def test_a_conversation_that_cannot_be_opened_disturbs_no_answer(tmp_path: Path) -> None:
    async with panel(tmp_path, SLOW) as (app, pilot):
        for name in ("gone bad", "good"):
            app.session.history.asked(name.split()[-1], SLOW, name)
        await streaming(app, pilot, "hello")
        picker = await chosen(app, pilot, "ctrl+l")
        picker.query_one(Input).value = "gone"
        await pilot.pause()
        bad = tmp_path / "chats" / "bad.jsonl"
        bad.unlink()
        bad.mkdir()
        await pilot.press("enter")
        await pilot.pause()
        turn = app.conversation.turn
        assert turn is not None
        assert not turn.ended
        await chosen(app, pilot, "ctrl+l")
        await pilot.press(*"good", "enter")
        while app.conversation.questions != ["good"]:
            await pilot.pause(0.01)
        history = app.session.history
        kept = [turn for chat in history.chats() for turn in history.load(chat.name)]
        assert [turn.shown.standing for turn in kept if turn.question == "hello"] == [Standing.CANCELLED]


async def test_a_list_that_is_told_anew_keeps_what_is_marked(tmp_path: Path) -> None:
    async with panel(tmp_path) as (app, pilot):
        await chosen(app, pilot, "ctrl+o")
        names = [f"fake/{letter}" for letter in "abc"]
        for more in ([], ["fake/0", "fake/z"]):
            app.on_models(tuple(ModelEntry(name=name, provider="fake") for name in [*more, *names]), ())
            await pilot.pause()
            if not more:
                await pilot.press("down", "down")
        assert app.screen.query_one(OptionList).highlighted is not None
        await pilot.press("enter")
        await pilot.pause()
        assert app.model == "fake/b"


async def test_enter_twice_starts_one_simulator_and_one_that_does_not_start_leaves_no_model(tmp_path: Path) -> None:
    starts: list[int] = []
    ended: list[int] = []

    @contextlib.asynccontextmanager
    async def start() -> AsyncGenerator[Path]:
        starts.append(1)
        await asyncio.sleep(0)
        if not ended:
            ended.append(1)
            raise ConfigError("it will not")
        yield tmp_path

    async with panel(tmp_path, None, start) as (app, pilot):
        while not app.query("#notice.shown"):
            await pilot.pause(0.01)
        while isinstance(app.screen, Chooser):
            await pilot.press("escape")
        for _ in range(2):
            app.post_message(Key("enter", None))
        while not ended:
            await pilot.pause(0.01)
        assert (len(starts), app.model) == (1, None)


async def test_models_asked_for_before_there_is_a_link_come_with_it(tmp_path: Path) -> None:
    gate = asyncio.Event()

    @contextlib.asynccontextmanager
    async def start() -> AsyncGenerator[Path]:
        await gate.wait()
        async with daemon_process(tmp_path / "s.sock", "--simulator") as running:
            yield running.path

    session = Session(where=Where(path=tmp_path / "none"), start_simulator=start, simulated_model=FAST, simulator=True)
    app = ChatApp(session)
    async with app.run_test() as pilot:
        picker = await chosen(app, pilot, "ctrl+o")
        gate.set()
        while "asking which models" in "".join(str(one.prompt) for one in picker.query_one(OptionList).options):
            await pilot.pause(0.01)
