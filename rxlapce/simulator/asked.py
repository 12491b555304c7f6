"""A request of either API, read into one shape: what the simulator needs of it and no more."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from rxlapce.simulator.options import split_model


class BadBody(ValueError):
    """A body that the vendor would refuse with HTTP 400. `param` is the member at fault."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Where(msgspec.Struct, frozen=True):
    """Where a request went: the decoded path under the simulator's root, its query, and what stood for `{model}`.

    `model` is decoded too, so it may hold any character, a `/` as well; None where the pattern has no `{model}`.
    """

    path: str
    query: Mapping[str, str] = {}
    model: str | None = None


#: For readers that do not care.
NOWHERE: Final = Where(path="")


class OfferedTool(msgspec.Struct, frozen=True):
    """A tool that the request offers; `schema` is the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """What was asked. `prompt` is the last user turn's text, `heard` the text of all turns (it is what is counted)."""

    model: str
    options: str
    prompt: str
    heard: str
    stream: bool = False
    include_usage: bool = False
    obfuscate: bool = True
    choices: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    must_call: bool = False
    may_call: bool = True
    only_tool: str | None = None
    tool_results: tuple[str, ...] = ()
    thinking: bool = False


# -- the bodies as they come ----------------------------------------------------------------------------------------


class _Part(msgspec.Struct):
    type: str = "text"
    text: str = ""
    content: "str | list[_Part] | None" = None


class _Turn(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _ChatTool(msgspec.Struct):
    function: _Function


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False
    include_obfuscation: bool = True


class _NamedFunction(msgspec.Struct):
    function: _Function


class _ChatBody(msgspec.Struct):
    model: str
    messages: list[_Turn]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    tools: list[_ChatTool] | None = None
    tool_choice: str | _NamedFunction | None = None


class _MessagesTool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] = {}


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None


class _Thinking(msgspec.Struct):
    type: str


class _MessagesBody(msgspec.Struct):
    model: str
    messages: list[_Turn]
    max_tokens: int
    system: str | list[_Part] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[_MessagesTool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None


_chat: Final = msgspec.json.Decoder(_ChatBody)
_messages: Final = msgspec.json.Decoder(_MessagesBody)

_MOST_CHOICES: Final = 128


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text or _text(part.content) for part in content)


def _last_prompt(turns: Sequence[_Turn]) -> str:
    """The text of the last user turn that has any of its own (a turn of tool results has none)."""
    for turn in reversed(turns):
        if turn.role == "user":
            text = turn.content if isinstance(turn.content, str) else _own_text(turn.content or [])
            if text:
                return text
    return ""


def _own_text(parts: Sequence[_Part]) -> str:
    return "\n".join(part.text for part in parts if part.type == "text")


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The typed body. Raises `BadBody` in the words of msgspec, which name the member."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        words = str(error)
        param = words.split("`")[1] if "missing required field" in words else None
        message = f"Missing required parameter: '{param}'." if param else words
        raise BadBody(message, param) from None
    except msgspec.DecodeError as error:
        raise BadBody(f"We could not parse the JSON body of your request: {error}") from None


def _check(turns: Sequence[_Turn], max_tokens: int | None) -> None:
    if not turns:
        raise BadBody("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    if max_tokens is not None and max_tokens < 1:
        raise BadBody(f"Invalid 'max_tokens': expected a value >= 1, but got {max_tokens} instead.", "max_tokens")


def read_chat(body: bytes, _where: Where = NOWHERE) -> Asked:
    """A chat completions request. Raises `BadBody`."""
    said: _ChatBody = _decoded(_chat, body)
    max_tokens = said.max_completion_tokens or said.max_tokens
    _check(said.messages, max_tokens)
    choices = 1 if said.n is None else said.n
    if not 1 <= choices <= _MOST_CHOICES:
        raise BadBody(f"Invalid 'n': expected a value from 1 to {_MOST_CHOICES}, but got {choices} instead.", "n")
    model, options = split_model(said.model)
    stream_options = said.stream_options or _StreamOptions()
    choice = said.tool_choice
    results: list[str] = []
    for turn in reversed(said.messages):
        if turn.role != "tool":
            break
        results.append(_text(turn.content))
    return Asked(
        model=model,
        options=options,
        prompt=_last_prompt(said.messages),
        heard="\n".join(_text(turn.content) for turn in said.messages),
        stream=bool(said.stream),
        include_usage=stream_options.include_usage,
        obfuscate=stream_options.include_obfuscation,
        choices=choices,
        max_tokens=max_tokens,
        stop=(said.stop,) if isinstance(said.stop, str) else tuple(said.stop or ()),
        tools=tuple(OfferedTool(tool.function.name, tool.function.parameters) for tool in said.tools or ()),
        must_call=choice == "required" or isinstance(choice, _NamedFunction),
        may_call=choice != "none",
        only_tool=choice.function.name if isinstance(choice, _NamedFunction) else None,
        tool_results=tuple(reversed(results)),
    )


def read_messages(body: bytes, _where: Where = NOWHERE) -> Asked:
    """A Messages request. Raises `BadBody`."""
    said: _MessagesBody = _decoded(_messages, body)
    _check(said.messages, said.max_tokens)
    model, options = split_model(said.model)
    choice = said.tool_choice
    last = said.messages[-1].content
    results = [_text(part.content) for part in last if part.type == "tool_result"] if isinstance(last, list) else []
    return Asked(
        model=model,
        options=options,
        prompt=_last_prompt(said.messages),
        heard="\n".join([_text(said.system), *(_text(turn.content) for turn in said.messages)]),
        stream=bool(said.stream),
        max_tokens=said.max_tokens,
        stop=tuple(said.stop_sequences or ()),
        tools=tuple(OfferedTool(tool.name, tool.input_schema) for tool in said.tools or ()),
        must_call=choice is not None and choice.type in ("any", "tool"),
        may_call=choice is None or choice.type != "none",
        only_tool=choice.name if choice else None,
        tool_results=tuple(results),
        thinking=said.thinking is not None and said.thinking.type in ("enabled", "adaptive"),
    )
