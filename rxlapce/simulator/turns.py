"""The turns of a conversation as chat completions, Messages and Ollama write them: text, or a list of parts."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import Spoken, Voice, joined


class Part(msgspec.Struct):
    """A piece of a turn. Pictures and documents are heard as nothing; tool results hold pieces of their own."""

    type: str = "text"
    text: str = ""
    content: "str | list[Part] | None" = None
    id: str | None = None
    tool_use_id: str | None = None
    source: Any = None
    image_url: Any = None


class Turn(msgspec.Struct):
    """Who said what. `tool_calls` are the assistant's, `tool_call_id` names the one that a tool turn answers."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    images: list[str] | None = None


_IMAGES: Final = frozenset({"image", "image_url", "input_image"})


def text_of(content: str | list[Part] | None) -> str:
    """All the text, also of tool results."""
    if content is None or isinstance(content, str):
        return content or ""
    return joined(part.text or text_of(part.content) for part in content)


def images_in(turns: Sequence[Turn]) -> int:
    """How many pictures there are."""
    return sum(len(turn.images or ()) + _images_of(turn.content) for turn in turns)


def _images_of(content: str | list[Part] | None) -> int:
    if content is None or isinstance(content, str):
        return 0
    return sum((part.type in _IMAGES) + _images_of(part.content) for part in content)


def last_prompt(turns: Sequence[Turn]) -> str:
    """The text of the last user turn that has any of its own (a turn of tool results has none)."""
    for turn in reversed(turns):
        if turn.role == "user":
            text = turn.content if isinstance(turn.content, str) else _own_text(turn.content or [])
            if text:
                return text
    return ""


def _own_text(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts if part.type in ("text", "input_text"))


def last_results(turns: Sequence[Turn]) -> tuple[str, ...]:
    """What the tools said, if nobody has spoken since."""
    results: list[str] = []
    for turn in reversed(turns):
        if turn.role != "tool":
            break
        results.append(text_of(turn.content))
    return tuple(reversed(results))


_VOICES: Final = {"user": Voice.USER, "assistant": Voice.MODEL}


def spoken(turns: Sequence[Turn]) -> tuple[Spoken, ...]:
    """The conversation by its words; what a tool said is a result, in a turn of its own or in the user's."""
    return tuple(_spoken(turn) for turn in turns)


def _spoken(turn: Turn) -> Spoken:
    if turn.role == "tool":
        return Spoken(Voice.OTHER, results=(text_of(turn.content),))
    voice, content = _VOICES.get(turn.role, Voice.OTHER), turn.content or ""
    if isinstance(content, str):
        return Spoken(voice, content)
    results = tuple(text_of(part.content) for part in content if part.type == "tool_result")
    # The pieces of a model's turn follow one another without a line end: they were one text when it said them.
    said = "".join(part.text for part in content if part.type == "text") if voice is Voice.MODEL else _own_text(content)
    return Spoken(voice, said, results)
