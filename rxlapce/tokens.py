"""What a stream is made of: frozen tokens, in the order in which the provider said them.

    StreamToken = Text | Reasoning | Refusal | ToolCall | UsageReport | Finish | Seam | Opaque

A whole stream is any number of tokens, then exactly one `Finish`, then `on_completed`; or `on_error(ProviderError)`
and no `Finish`. Tokens are msgspec Structs (0.12 us to make, 0.24 to encode; a frozen slotted dataclass takes 1.0 and
0.55) with a `type` tag in JSON, and are not tracked by the garbage collector: they cannot hold a cycle.

`choice` numbers the answer a token belongs to, 0 unless the request asked for several (`n`).
"""

from enum import StrEnum
from typing import Final

import msgspec


class FinishKind(StrEnum):
    """Why an answer ended, in one vocabulary for all providers; the provider's own word stays in `Finish.raw`."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    CANCELLED = "cancelled"


class UsageSource(StrEnum):
    """Who counted: the provider at the end, we ourselves, or the provider before the stream broke off."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    PARTIAL = "partial"


class Token(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What all tokens share."""


class Text(Token, frozen=True, tag="text", gc=False):
    """A piece of the visible answer."""

    text: str
    choice: int = 0


class Reasoning(Token, frozen=True, tag="reasoning", gc=False):
    """A piece of the model's thinking; `signature` comes once, when the block ends, and is sent back unchanged."""

    text: str
    signature: str | None = None
    choice: int = 0


class Refusal(Token, frozen=True, tag="refusal", gc=False):
    """A piece of a refusal that the provider marks as one."""

    text: str
    choice: int = 0


class ToolCall(Token, frozen=True, tag="tool_call", gc=False):
    """A piece of a tool call.

    Pieces belong together by (`choice`, `index`); `index` counts the calls of a choice from 0. `id` and `name` come on
    the first piece and are None later. `arguments_delta` pieces join to one JSON text; "" is possible.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments_delta: str = ""
    choice: int = 0


class Reported(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The provider's own numbers, no arithmetic; None where the provider gave none. Zero is not None."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Token counts in one meaning for all providers; None where it cannot be known.

    `input` counts all of the prompt, with `cached_input` (read from cache) and `cache_write` as parts of it.
    `output` counts all that was generated, with `reasoning` as a part of it. `total` = `input` + `output`.
    `cost_usd` is what the provider said it costs, in US dollars.
    """

    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    total: int | None = None
    cost_usd: float | None = None
    source: UsageSource = UsageSource.PROVIDER
    reported: Reported = Reported()


class UsageReport(Token, frozen=True, tag="usage", gc=False):
    """The usage as known now; a later report replaces an earlier one, it does not add to it."""

    usage: Usage


class ChoiceEnd(msgspec.Struct, frozen=True, gc=False):
    """How one further choice of a stream with several ended."""

    choice: int
    kind: FinishKind
    raw: str | None = None


class Finish(Token, frozen=True, tag="finish", gc=False):
    """The end of a whole answer: always the last token, and always there when the stream completes.

    `raw` is the provider's word for why (None where it gave none), `model` the model that really answered. With several
    choices these are the first one's, and `others` has the rest.
    """

    kind: FinishKind
    raw: str | None = None
    model: str | None = None
    others: tuple[ChoiceEnd, ...] = ()


class SeamWord(StrEnum):
    """What the reader of a stream does at a `Seam` with what was said before it.

    continue: keeps it, and what follows goes on from there. rewind: discards everything from the first tool call on, in
    the order in which it was said. restart: discards everything.
    """

    CONTINUE = "continue"
    REWIND = "rewind"
    RESTART = "restart"


class Seam(Token, frozen=True, tag="seam", gc=False):
    """A new attempt, number `leg` from 1, continues the answer here; `reason` says why the last one did not.

    Its first word, before a colon, is what the reader does with what it has: `continue` keeps it, `rewind` discards all
    from the first tool call on, `restart` discards all.
    """

    leg: int
    reason: str

    @property
    def word(self) -> SeamWord:
        """The first word of `reason`; one that is not known counts as `continue`."""
        word = self.reason.partition(":")[0]
        return SeamWord(word) if word in _SEAM_WORDS else SeamWord.CONTINUE


class Opaque(Token, frozen=True, tag="opaque", gc=False):
    """Something of the provider's that has no token of its own: passed through whole, never dropped, never fatal.

    `kind` is the provider's word for it (`citations_delta`, `redacted_thinking`, ...); `raw` its JSON text.
    """

    kind: str
    raw: str
    choice: int = 0


_SEAM_WORDS: Final = frozenset(word.value for word in SeamWord)

StreamToken = Text | Reasoning | Refusal | ToolCall | UsageReport | Finish | Seam | Opaque

#: The tokens that a user would see: the first of these commits the stream (`docs/lifecycle.md`).
VISIBLE: Final = (Text, Reasoning, Refusal, ToolCall, Opaque)
