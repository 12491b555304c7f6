"""What is asked of a model, in one vocabulary for all providers: a conversation, tools, and wishes for the answer.

These are dataclasses with dataclasses-json's mixin. A dialect says all that a request holds in its vendor's words; what
it has no word for is an error of kind `bad_request` before anything is sent, never dropped in silence
(`docs/requests.md` has the table).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgspec
from dataclasses_json import DataClassJsonMixin

MAX_MODEL_CHARS: Final = 512

Role = Literal["system", "developer", "user", "assistant", "tool"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
#: How long a provider keeps a cached prefix: five minutes from its last use, or an hour.
CacheLife = Literal["5m", "1h"]


def in_range(name: str, value: float | None, low: float, high: float) -> None:
    """Raise ValueError naming the member unless `value` is None or from `low` to `high`."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedCall(DataClassJsonMixin):
    """A tool call of an earlier answer, sent back as history. `arguments` is the JSON text as the model said it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(DataClassJsonMixin):
    """A picture: a `url` that the provider fetches (https, or a vendor's own such as gs:// and s3://), or `data`.

    `data` is base64 (RFC 4648 section 4) of a file of `media_type`, such as image/png. `detail` is how closely to look,
    for the vendors that ask.
    """

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: Literal["auto", "low", "high"] | None = None

    def __post_init__(self) -> None:
        if (self.url is None) is (self.data is None):
            raise ValueError("an image has either url or data")
        if self.data is not None and self.media_type is None:
            raise ValueError("an image with data needs its media_type, such as image/png")


class _ToldCall(msgspec.Struct):
    """What Anthropic and Bedrock say before a call that they run themselves."""

    id: str | None = None
    toolUseId: str | None = None  # noqa: N815 - the wire's name


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaquePart(DataClassJsonMixin):
    """What an `Opaque` token of an earlier answer said, sent back unchanged: `raw` is JSON text."""

    kind: str
    raw: str

    @property
    def call_id(self) -> str | None:
        """The id of the call that the provider ran itself, if this tells of one."""
        if not self.kind.endswith("_tool_use"):  # server_tool_use, mcp_tool_use
            return None
        try:
            told = msgspec.json.decode(self.raw, type=_ToldCall)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return told.id or told.toolUseId


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(DataClassJsonMixin):
    """A piece of a turn: exactly one of text, image, reasoning, tool_call, opaque.

    `signature` goes with `reasoning` and came with it; providers refuse a thought whose signature was changed. `cache`
    marks the end of a prefix that is worth caching: the conversation up to and with this piece. Where a provider caches
    prefixes by itself the mark needs no word; a life of "1h" is refused where it cannot be asked for.
    """

    text: str | None = None
    image: Image | None = None
    reasoning: str | None = None
    tool_call: RequestedCall | None = None
    opaque: OpaquePart | None = None
    signature: str | None = None
    cache: CacheLife | None = None

    def __post_init__(self) -> None:
        given = (self.text, self.image, self.reasoning, self.tool_call, self.opaque)
        if given.count(None) != len(given) - 1:
            raise ValueError("a part has exactly one of text, image, reasoning, tool_call, opaque")
        if self.signature is not None and self.reasoning is None:
            raise ValueError("a signature goes with reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(DataClassJsonMixin):
    """One turn. `content` is its text; `parts` take its place where it is more than that, in order.

    `tool_calls` belong to an assistant's turn, after its content; a `tool` turn names the call it answers. An answer's
    turn with all that must go back unchanged is made by `rxlapce.answer.TurnBuilder`.
    """

    role: Role
    content: str = ""
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[RequestedCall, ...] = ()
    tool_call_id: str | None = None

    def __post_init__(self) -> None:
        if self.content and self.parts:
            raise ValueError("a turn has either content or parts")

    @property
    def text(self) -> str:
        """The turn's text, its pieces joined."""
        return "".join(part.text for part in self.parts if part.text is not None) if self.parts else self.content

    def pieces(self) -> tuple[Part, ...]:
        """The turn as parts: `parts`, or `content` as one if there is any; then `tool_calls`."""
        own = self.parts or ((Part(text=self.content),) if self.content else ())
        return (*own, *(Part(tool_call=call) for call in self.tool_calls))

    def calls(self) -> tuple[RequestedCall, ...]:
        """The tool calls of the turn, wherever they stand."""
        return tuple(part.tool_call for part in self.pieces() if part.tool_call is not None)

    def plain(self) -> "Message":
        """The turn without what only the provider that said it understands.

        That is its reasoning, its opaque pieces, and the calls that it ran itself, which have no result of ours.
        """
        run = {piece.opaque.call_id for piece in self.parts if piece.opaque is not None} - {None}
        kept = (part for part in self.parts if part.reasoning is None and part.opaque is None)
        return replace(self, parts=tuple(p for p in kept if p.tool_call is None or p.tool_call.id not in run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool(DataClassJsonMixin):
    """A function that the model may ask for; `parameters` is its JSON Schema. `cache`: see `Part`."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    cache: CacheLife | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat(DataClassJsonMixin):
    """The answer is to be JSON: an object that fits `json_schema`, or any object if that is None.

    `name` is what OpenAI's APIs call the schema (letters, digits, _ and -); `strict` asks for exact adherence where
    that is a choice.
    """

    json_schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest(DataClassJsonMixin):
    """A conversation to continue.

    `model` is `provider/model`; `api` chooses between the APIs of a provider that has several (`responses`). None
    leaves a setting to the provider. `temperature` 0 to 2, `top_p` 0 to 1, `top_k` from 1, the penalties -2 to 2,
    `max_tokens` and `n` from 1. `tool_choice` is auto, none, required or a tool's name. `reasoning_effort` says how
    long to think in a word, `reasoning_tokens` in a number (from 0); which of them a model takes is the vendor's to
    say. `extra` members go into the provider's body as they are and win over what we put there.
    """

    model: str
    messages: tuple[Message, ...]
    api: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None
    reasoning_tokens: int | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not 0 < len(self.model) <= MAX_MODEL_CHARS:
            raise ValueError(f"model must be provider/model of 1 to {MAX_MODEL_CHARS} characters")
        if not self.messages:
            raise ValueError("messages must hold at least one message")
        in_range("temperature", self.temperature, 0, 2)
        in_range("top_p", self.top_p, 0, 1)
        in_range("top_k", self.top_k, 1, 2**31 - 1)
        in_range("presence_penalty", self.presence_penalty, -2, 2)
        in_range("frequency_penalty", self.frequency_penalty, -2, 2)
        in_range("max_tokens", self.max_tokens, 1, 2**31 - 1)
        in_range("n", self.n, 1, 128)
        in_range("reasoning_tokens", self.reasoning_tokens, 0, 2**31 - 1)

    def cache_marks(self) -> Iterable[CacheLife]:
        """The lives of all marks on the tools and the turns, in the order of the prompt."""
        parts = (part for message in self.messages for part in message.parts)
        pieces: tuple[Tool | Part, ...] = (*self.tools, *parts)
        for piece in pieces:
            if piece.cache is not None:
                yield piece.cache


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest(DataClassJsonMixin):
    """A text to go on from. Where a provider has no such endpoint it is asked as one user message."""

    model: str
    prompt: str
    api: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.as_chat()

    def as_chat(self) -> ChatRequest:
        """The same as a conversation of one user message."""
        return ChatRequest(
            model=self.model,
            messages=(Message(role="user", content=self.prompt),),
            api=self.api,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=self.stop,
            seed=self.seed,
            extra=self.extra,
        )
