"""Parting Markdown that grows: the parts say what the whole says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rxlapce.chat import segments
from rxlapce.chat.plain import PIECE_CHARS, piece_end
from rxlapce.chat.segments import cut_of, fence_end, open_fence, parts_of

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


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("words\n\n```py\na = 1\n", "```"),
        ("~~~~\na\n~~~", "~~~~"),
        ("````\n```\nb\n```\n", "````"),
        ("```\na\n```\n", ""),
        ("- item\n\n  ```\n  a\n", ""),
        ("words", ""),
        ("", ""),
    ],
)
def test_code_that_is_open_tells_what_ends_it(text: str, markup: str) -> None:
    assert open_fence(text) == markup


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("```\na\n```\nb", 10),
        ("words\n\n```\na\n\n```\n", 18),
        ("```\na\n```", 0),  # the line may go on
        ("```\na\n```py\n", 0),
        ("```\na\n```\n\n```\nb", 10),
        ("```\na\n", 0),
        ("no code", 0),
    ],
)
def test_code_ends_where_its_last_line_does(text: str, end: int) -> None:
    assert fence_end(text) == end
    if end:
        assert blocks_of(text[:end]) + blocks_of(text[end:]) == blocks_of(text)


@given(st.lists(st.sampled_from(["word", " ", "\n", "much longer words" * 9]), max_size=60), st.integers(1, 50))
def test_pieces_join_to_the_text_and_none_is_long(words: list[str], step: int) -> None:
    text, begin, pieces = "".join(words), 0, list[str]()
    for upto in range(0, len(text) + step, step):
        while end := piece_end(text[:upto], begin):
            pieces.append(text[begin:end])
            begin = end
    rest = text[begin:]
    assert "".join(pieces) + rest == text
    assert max(map(len, [*pieces, rest])) <= 2 * PIECE_CHARS
