"""An answer's text on a screen while it grows: nothing is lost, and no block that has not ended is laid out whole."""

import random

import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock, MarkdownFence

from rxlapce.answer import WholeCall
from rxlapce.chat import answer_text, plain, segments
from rxlapce.chat.answer_text import LONG_CHARS, AnswerText
from rxlapce.chat.answer_view import AnswerView
from rxlapce.chat.plain import Line, Plain
from rxlapce.chat.turns import Shown

pytestmark = pytest.mark.heavy

BLOCKS = [
    "A paragraph of *some* words, and on.", "# A heading", "- one\n- two", "> quoted\n> words", "word " * 40,
    "```python\ndef f():\n\n    return 1\n```", "```python\n" + "a = 1\n\n" * 20 + "```",
    "~~~\n```\n" + "x\n" * 50 + "~~~", "| a | b |\n|---|---|\n| 1 | 2 |", "- a list\n\n" * 10,
    "```\n" + "never closed\n" * 20,
]  # fmt: skip


class OnScreen(App[None]):
    """Nothing but a text."""

    CSS = "AnswerText { height: auto; }"

    def compose(self) -> ComposeResult:
        yield AnswerText()

    @property
    def text(self) -> AnswerText:
        return self.query_one(AnswerText)

    @property
    def sources(self) -> list[str]:
        return [part.source for part in self.text.query(Markdown)]

    @property
    def blocks(self) -> list[str]:
        """What is on the screen: the kind of each block, and what code says."""
        return blocks_of(self.text)

    async def blocks_at_once(self, text: str) -> list[str]:
        """The same of a text that is there from the beginning."""
        whole = Markdown(text)
        await self.mount(whole)
        blocks = blocks_of(whole)
        await whole.remove()
        return blocks


def blocks_of(widget: Widget) -> list[str]:
    return [
        type(block).__name__ + (block.code if isinstance(block, MarkdownFence) else "")
        for block in widget.query(MarkdownBlock)
    ]


@pytest.mark.parametrize(
    ("begin", "line", "end"),
    [("```py\n", "value = compute(first, second)\n", "```\n"), ("", "words that never end ", "\n\n"),
     ("", "- " + "an item that is long " * 10 + "\n", "\n")],
)  # fmt: skip
async def test_a_block_that_does_not_end_is_plain_beyond_its_beginning(begin: str, line: str, end: str) -> None:
    app, text = OnScreen(), begin
    async with app.run_test():
        for _ in range(2 * LONG_CHARS // (5 * len(line))):
            text += 5 * line
            await app.text.show(text, whole=False)
        (drawn,) = app.sources
        assert 0.9 * LONG_CHARS < len(drawn) <= LONG_CHARS + 5 * len(line)
        assert str(list(app.query(Line))[-1].content).rstrip().endswith(line.rstrip())
        for more in (end, "So it is.\n\nAnd on"):
            text += more
            await app.text.show(text, whole=False)
        assert not app.query(Plain)
        await app.text.show(text, whole=True)
        assert "".join(app.sources) == text
        assert len(app.query(MarkdownFence)) == bool(begin)


async def test_an_answer_that_ends_inside_a_block_is_drawn_whole() -> None:
    app, text = OnScreen(), "```py\n"
    async with app.run_test():
        for _ in range(100):
            text += 5 * "value = compute(1)\n"
            await app.text.show(text, whole=False)
        assert app.query(Plain)
        await app.text.show(text, whole=True)
        assert not app.query(Plain)
        assert app.query_one(MarkdownFence).code.count("\n") == 499
        assert app.sources == [text]


@pytest.mark.parametrize(
    "drawings", [("- one\n- two\n", "- three\n"), ("```py\na = 1\n", "b = 2\n```\n"), ("> one\n> two\n", "> three\n")]
)
async def test_a_block_of_several_lines_grows_as_a_whole(drawings: tuple[str, ...]) -> None:
    app, text = OnScreen(), ""
    async with app.run_test():
        for drawing in drawings:
            text += drawing
            await app.text.show(text, whole=False)
        assert app.blocks == await app.blocks_at_once(text)


async def test_what_comes_while_one_quits_harms_nothing() -> None:
    class Quitting(App[None]):
        def compose(self) -> ComposeResult:
            yield AnswerView("why?", "a/x", Shown())

    app = Quitting()
    async with app.run_test():
        view = app.query_one(AnswerView)
        await view.sync(Shown(text="so"))
        app.exit()
        await view.sync(Shown(text="so it is\n\n" * 1000, calls=(WholeCall(id="c", name="look", arguments="{}"),)))


@pytest.mark.parametrize("seed", range(3))
async def test_however_a_text_grows_and_is_taken_back_all_of_it_is_drawn(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PART_CHARS", 20), ("LONG_CHARS", 60), ("LOOK_AGAIN_CHARS", 10)):
        monkeypatch.setattr(answer_text, name, value)
    monkeypatch.setattr(segments, "PART_CHARS", 20)
    monkeypatch.setattr(plain, "PIECE_CHARS", 15)
    choose = random.Random(seed)  # noqa: S311 - a test's
    app = OnScreen()
    async with app.run_test():
        for _ in range(5):
            text = "\n\n".join(choose.choices(BLOCKS, k=choose.randint(1, 6)))
            step, upto = choose.choice([3, 40, 200]), 0
            while upto < len(text):
                upto += step
                await app.text.show(text[:upto], whole=False)
            await app.text.show(text, whole=True)
            assert "".join(app.sources) == text
            assert app.blocks == await app.blocks_at_once(text)
            assert not app.query(Plain)
            await app.text.show("", whole=False)  # a seam
            assert not app.sources
