"""What is answered to a request, before any wire format: how many tokens of what, which tools, and why it ends."""

import random
import re
from collections.abc import Iterator
from enum import Enum, auto
from itertools import accumulate, takewhile
from typing import Final

import msgspec

from rxlapce.simulator import answers
from rxlapce.simulator.asked import Asked, OfferedTool
from rxlapce.simulator.example import example, object_example
from rxlapce.simulator.options import Ending, Options
from rxlapce.simulator.tokenizer import after, count_pieces, endless, exactly, tokenize


class End(Enum):
    """Why an answer ended; each wire format has its own word for it."""

    STOP = auto()
    STOP_SEQUENCE = auto()
    LENGTH = auto()
    TOOL_CALLS = auto()
    CONTENT_FILTER = auto()
    REFUSAL = auto()


class Call(msgspec.Struct, frozen=True):
    """A tool call; `arguments` is JSON text that fits the tool's schema."""

    name: str
    arguments: str


class Reply(msgspec.Struct, frozen=True):
    """One choice's answer. Its pieces are made as they are taken, so a reply of a million tokens costs no memory.

    `start`: so many characters of the text have been said before; the pieces and `text_tokens` are what follows.
    """

    text: str
    text_tokens: int
    reasoning_tokens: int
    calls: tuple[Call, ...]
    end: End
    stop_sequence: str | None = None
    start: int = 0

    def text_pieces(self) -> Iterator[str]:
        """The answer's `text_tokens` pieces."""
        return exactly(after(_endless(self.text), self.start), self.text_tokens)

    def reasoning_pieces(self) -> Iterator[str]:
        """The reasoning's `reasoning_tokens` pieces."""
        return exactly(endless(answers.REASONING, answers.musing), self.reasoning_tokens)

    @property
    def output_tokens(self) -> int:
        """All that is billed as output."""
        return self.text_tokens + self.reasoning_tokens + sum(len(tokenize(call.arguments)) for call in self.calls)


#: What a chat template adds to the words of a conversation.
_TEMPLATE_TOKENS: Final = 7
#: What a picture counts: OpenAI's price for one that is looked at in low detail.
_IMAGE_TOKENS: Final = 85
#: Reasoning tokens of a request that asks for thinking without saying how much.
_THINKING_TOKENS: Final = 48


def prompt_tokens(asked: Asked) -> int:
    """How many tokens the request counts."""
    return count_pieces(asked.heard) + _IMAGE_TOKENS * asked.images + _TEMPLATE_TOKENS


class _Whole(msgspec.Struct, frozen=True):
    """An answer before any limit: its text or its calls, and how many tokens of text it has."""

    calls: tuple[Call, ...]
    text: str
    tokens: int
    stop_sequence: str | None


def compose(asked: Asked, options: Options, chance: random.Random, *, said: str = "") -> tuple[Reply, ...]:
    """One reply for each choice that the request asks for.

    With `said`, a beginning of the answer (`begins_with`), the rest of it: `max_tokens` is the rest's alone.
    """
    return tuple(_reply(asked, options, chance, said) for _ in range(asked.choices))


def begins_with(asked: Asked, options: Options, chance: random.Random, said: str, *, whole_too: bool = True) -> bool:
    """Whether `said` is a beginning of the answer, or `whole_too` all of it, whatever `max_tokens` leaves of it."""
    whole, at = _whole(asked, options, chance), 0
    for piece in exactly(_endless(whole.text), whole.tokens):
        if not said.startswith(piece, at):
            return piece.startswith(said[at:])
        at += len(piece)
    return whole_too and at == len(said)


def _reply(asked: Asked, options: Options, chance: random.Random, said: str) -> Reply:
    whole = _whole(asked, options, chance)
    start = max(len(said) - options.overlap, 0)
    spent = _whole_pieces(whole.text, start)
    wanted = max(whole.tokens - spent, 0)
    reasoning = options.reasoning if options.reasoning is not None else _THINKING_TOKENS * asked.thinking
    budget = max(asked.max_tokens or wanted + reasoning, 1)
    reasoning = min(reasoning, budget)
    tokens = min(wanted, budget - reasoning)
    if options.finish is Ending.CONTENT_FILTER and options.tokens is None:
        tokens = min(tokens, max(max(whole.tokens // 3, 1) - spent, 0))
    cut = tokens < wanted
    return Reply(
        text=whole.text,
        text_tokens=tokens,
        reasoning_tokens=reasoning,
        calls=() if cut else whole.calls,
        end=_end(options.finish, cut=cut, calls=bool(whole.calls), stop_sequence=whole.stop_sequence),
        stop_sequence=None if cut else whole.stop_sequence,
        start=start,
    )


def _whole(asked: Asked, options: Options, chance: random.Random) -> _Whole:
    calls = _calls(asked, options, chance)
    text, stop_sequence = ("", None) if calls else _text(asked, options.finish is Ending.REFUSAL, chance)
    tokens = len(tokenize(text)) if options.tokens is None else options.tokens
    return _Whole(calls, text or answers.choose(asked.prompt, chance), tokens, stop_sequence)


def _endless(text: str) -> Iterator[str]:
    return endless(text, answers.chapter)


def _whole_pieces(text: str, chars: int) -> int:
    """How many pieces lie wholly within the first `chars` characters."""
    ends = accumulate(map(len, _endless(text)))
    return sum(1 for _ in takewhile(lambda end: end <= chars, ends))


def _end(finish: Ending, *, cut: bool, calls: bool, stop_sequence: str | None) -> End:
    match finish:
        case Ending.CONTENT_FILTER:
            return End.CONTENT_FILTER
        case Ending.REFUSAL:
            return End.REFUSAL
        case Ending.LENGTH:
            return End.LENGTH
        case Ending.AUTO:
            if cut:
                return End.LENGTH
            if calls:
                return End.TOOL_CALLS
            return End.STOP if stop_sequence is None else End.STOP_SEQUENCE


def _text(asked: Asked, refused: bool, chance: random.Random) -> tuple[str, str | None]:
    """The whole text up to the first stop sequence, and that sequence."""
    if refused:
        return answers.REFUSAL, None
    if asked.json_schema is not None:
        schema = asked.json_schema or {"properties": {"answer": {"const": answers.choose(asked.prompt, chance)}}}
        return example(schema, asked.prompt, chance), None
    text = answers.after_tools(asked.tool_results) if asked.tool_results else answers.choose(asked.prompt, chance)
    found = [(text.find(stop), stop) for stop in asked.stop if stop and stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


# -- tool calls -----------------------------------------------------------------------------------------------------


def _calls(asked: Asked, options: Options, chance: random.Random) -> tuple[Call, ...]:
    offered = [tool for tool in asked.tools if asked.only_tool in (None, tool.name)] if asked.may_call else []
    if not offered:
        return ()
    if options.tools is not None:
        wanted = [offered[number % len(offered)] for number in range(options.tools)]
    elif asked.tool_results:
        wanted = []
    else:
        named = [tool for tool in offered if _is_asked_for(tool, asked.prompt)]
        wanted = named or (offered[:1] if asked.must_call else [])
    return tuple(Call(tool.name, object_example(tool.schema, asked.prompt, chance)) for tool in wanted)


def _is_asked_for(tool: OfferedTool, prompt: str) -> bool:
    """Whether the prompt has the tool's name, or a longer word of it (`weather` of `get_weather`)."""
    words = [word for word in re.split(r"[^a-z]+", tool.name.lower()) if len(word) > 3]
    heard = prompt.lower()
    return tool.name.lower() in heard or any(word in heard for word in words)
