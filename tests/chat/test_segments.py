"""Parting Markdown that grows: the parts say what the whole says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rxlapce.chat import segments
from rxlapce.chat.segments import cut_of, parts_of

BLOCKS = [
    "A paragraph of *some* words.", "# A heading", "- one\n- two", "1. one\n\n   still one", "> quoted\n> words",
    "```python\ndef f():\n\n    return 1\n```", "~~~\ntext\n\nmore\n~~~", "| a | b |\n|---|---|\n| 1 | 2 |", "---",
    "    indented code", "<div>\nhtml\n</div>", "Title\n=====", "- a list\n\n- with gaps",
    "```\nnever closed\n\nfor ever",
]  # fmt: skip


def blocks_of(text: str) -> list[tuple[str, str]]:
    return [(token.type, token.content) for token in MarkdownIt("gfm-like").parse(text)]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "PART_CHARS", 10)


@given(st.lists(st.sampled_from(BLOCKS), max_size=8))
def test_parts_join_to_the_text_and_read_as_it_does(blocks: list[str]) -> None:
    text = "\n\n".join(blocks)
    parts = parts_of(text)
    assert "".join(parts) == text
    assert [block for part in parts for block in blocks_of(part)] == blocks_of(text)


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=6), st.integers(1, 40))
def test_a_growing_text_is_cut_where_nothing_to_come_changes_what_is_above(blocks: list[str], piece: int) -> None:
    text = "\n\n".join(blocks)
    parts: list[str] = []
    grown = ""
    for at in range(0, len(text), piece):
        grown += text[at : at + piece]
        if cut := cut_of(grown):
            parts.append(grown[:cut])
            grown = grown[cut:]
    parts.append(grown)
    assert [block for part in parts for block in blocks_of(part)] == blocks_of(text)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Some words.\n\nMore words.", 13),
        ("Some words.\n\n", 0),
        ("Some words.\n\n- no: a list may begin", 0),
        ("```\nfor ever\n\nopen", 0),
        ("```\nclosed, long\n```\n\nwords", 22),
        ("- a list, long\n\nwords", 16),
        ("short\n\nwords", 0),
    ],
)
def test_cuts(text: str, cut: int) -> None:
    assert cut_of(text) == cut
