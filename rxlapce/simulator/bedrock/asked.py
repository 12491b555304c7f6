"""Bedrock's requests, read into the one shape of `asked`: Converse's body, and InvokeModel's in each vendor's words.

What Bedrock refuses is refused in its own words. Source: the Amazon Bedrock API reference and user guide; the messages
are as its users quote them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from rxlapce.simulator.anthropic.messages_request import read_messages
from rxlapce.simulator.asked import Asked, BadBody, OfferedTool, Spoken, Voice, Where, joined
from rxlapce.simulator.openai.chat_request import read_chat

#: Bedrock's own version, and the one that Anthropic's Python SDK sends to every cloud (2.12, seen 2026-11-22).
CLAUDE_VERSIONS: Final = ("bedrock-2023-05-31", "2026-10-21")

_Body = TypeVar("_Body")


class _Call(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: dict[str, Any]


class _Result(msgspec.Struct, rename="camel"):
    tool_use_id: str
    content: list[dict[str, Any]]


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Call | None = None
    tool_result: _Result | None = None
    image: dict[str, Any] | None = None


class _Turn(msgspec.Struct):
    role: str
    content: list[_Block]


class _Inference(msgspec.Struct, frozen=True, rename="camel"):
    max_tokens: int | None = None
    stop_sequences: list[str] = []
    temperature: float | None = None
    top_p: float | None = None


class _Schema(msgspec.Struct):
    json: dict[str, Any] = {}


class _Spec(msgspec.Struct, rename="camel"):
    name: str
    input_schema: _Schema


class _Tool(msgspec.Struct, rename="camel"):
    tool_spec: _Spec | None = None


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct, frozen=True):
    auto: dict[str, Any] | None = None
    any: dict[str, Any] | None = None
    tool: _Named | None = None


class _ToolConfig(msgspec.Struct, frozen=True, rename="camel"):
    tools: list[_Tool]
    tool_choice: _Choice = _Choice()


class _Thinking(msgspec.Struct):
    type: str


class _ModelFields(msgspec.Struct, frozen=True):
    """What goes to the model as it is; of Claude's own members, the one that matters."""

    thinking: _Thinking | None = None


class _JsonSchema(msgspec.Struct):
    schema: str  # JSON in JSON


class _Structure(msgspec.Struct, rename="camel"):
    json_schema: _JsonSchema | None = None


class _TextFormat(msgspec.Struct):
    type: str
    structure: _Structure


class _Output(msgspec.Struct, frozen=True, rename="camel"):
    text_format: _TextFormat | None = None


class _Converse(msgspec.Struct, rename="camel"):
    messages: list[_Turn] = []
    system: list[_Block] = []
    inference_config: _Inference = _Inference()
    tool_config: _ToolConfig | None = None
    additional_model_request_fields: _ModelFields = _ModelFields()
    output_config: _Output = _Output()
    schema_version: str | None = None  # Nova's, in InvokeModel


class _TitanConfig(msgspec.Struct, frozen=True, rename="camel"):
    max_token_count: int | None = None
    stop_sequences: list[str] = []


class _Titan(msgspec.Struct, rename="camel"):
    input_text: str
    text_generation_config: _TitanConfig = _TitanConfig()


class _Prompted(msgspec.Struct):
    """Llama, Mistral, Cohere Command."""

    prompt: str
    max_gen_len: int | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    stop_sequences: list[str] = []


class _CommandR(msgspec.Struct):
    message: str
    chat_history: list[dict[str, Any]] = []
    max_tokens: int | None = None
    stop_sequences: list[str] = []


def _decoded(kind: type[_Body], body: bytes) -> _Body:
    """The typed body. Raises `BadBody`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadBody(f"The request is malformed: {error}") from None
    except msgspec.DecodeError:
        raise BadBody("The request body could not be parsed as JSON.") from None


def model_of(where: Where) -> tuple[str, str]:
    """The model's id and its options: those after the last colon, since ids have colons themselves."""
    model = where.model or ""
    name, _, suffix = model.rpartition(":")
    return (name, suffix) if name and "=" in suffix else (model, "")


# -- Converse -------------------------------------------------------------------------------------------------------


def read_converse(body: bytes, where: Where) -> Asked:
    """A request to Converse or ConverseStream. Raises `BadBody`."""
    return _converse(_decoded(_Converse, body), where, stream=where.path.endswith("-stream"))


def _converse(said: _Converse, where: Where, *, stream: bool) -> Asked:
    _check(said)
    model, options = model_of(where)
    config = said.tool_config
    specs = [tool.tool_spec for tool in config.tools if tool.tool_spec] if config else []
    choice = config.tool_choice if config else _Choice()
    last = said.messages[-1].content
    thinking = said.additional_model_request_fields.thinking
    return Asked(
        model=model,
        options=options,
        prompt=_last_prompt(said.messages),
        heard=joined(_text(block) for blocks in (said.system, *_contents(said.messages)) for block in blocks),
        images=sum(block.image is not None for turn in said.messages for block in turn.content),
        stream=stream,
        max_tokens=said.inference_config.max_tokens,
        stop=tuple(said.inference_config.stop_sequences),
        tools=tuple(OfferedTool(spec.name, spec.input_schema.json) for spec in specs),
        must_call=choice.any is not None or choice.tool is not None,
        only_tool=choice.tool.name if choice.tool else None,
        tool_results=tuple(_text(block) for block in last if block.tool_result),
        json_schema=_answer_schema(said.output_config),
        thinking=thinking is not None and thinking.type in ("enabled", "adaptive"),
        turns=tuple(_spoken(turn) for turn in said.messages),
    )


def _answer_schema(config: _Output) -> dict[str, Any] | None:
    schema = config.text_format.structure.json_schema if config.text_format else None
    return None if schema is None else _decoded(dict[str, Any], schema.schema.encode())


def _spoken(turn: _Turn) -> Spoken:
    texts = [block.text for block in turn.content if block.text]
    if turn.role == "assistant":
        return Spoken(Voice.MODEL, "".join(texts))
    return Spoken(Voice.USER, "\n".join(texts), tuple(_text(block) for block in turn.content if block.tool_result))


def _contents(turns: Sequence[_Turn]) -> list[list[_Block]]:
    return [turn.content for turn in turns]


def _text(block: _Block) -> str:
    if block.tool_result is None:
        return block.text or ""
    return "\n".join(_said(part) for part in block.tool_result.content)


def _said(part: Mapping[str, Any]) -> str:
    return str(part["text"]) if "text" in part else msgspec.json.encode(part.get("json")).decode()


def _last_prompt(turns: Sequence[_Turn]) -> str:
    """The text of the last user turn that has any of its own."""
    for turn in reversed(turns):
        text = "\n".join(block.text for block in turn.content if block.text)
        if turn.role == "user" and text:
            return text
    return ""


def _check(said: _Converse) -> None:
    """What Bedrock demands of a conversation. Raises `BadBody`."""
    turns = said.messages
    if not turns or turns[0].role != "user":
        raise BadBody(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    called: set[str] = set()
    for number, turn in enumerate(turns):
        where = f"messages.{number}"
        if turn.role != ("assistant" if number % 2 else "user"):
            raise BadBody(
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
                "between user and assistant roles and try again."
            )
        if not turn.content:
            raise BadBody(f"The content field in the Message object at {where} is empty. Add a ContentBlock object.")
        _check_text(turn, where)
        _check_results(turn, where, called)
        called = {block.tool_use.tool_use_id for block in turn.content if block.tool_use}
    if said.tool_config is None and any(
        block.tool_use or block.tool_result for turn in turns for block in turn.content
    ):
        raise BadBody("The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _check_text(turn: _Turn, where: str) -> None:
    for number, block in enumerate(turn.content):
        if block.text is not None and not block.text.strip():
            raise BadBody(
                f"The text field in the ContentBlock object at {where}.content.{number} is blank. Add text to the text "
                "field, and try again."
            )


def _check_results(turn: _Turn, where: str, called: set[str]) -> None:
    """Each call of the turn before must be answered, and nothing else."""
    answered = [block.tool_result.tool_use_id for block in turn.content if block.tool_result]
    if len(answered) > len(called):
        raise BadBody(
            f"The number of toolResult blocks at {where}.content exceeds the number of toolUse blocks of previous turn."
        )
    missing = sorted(called.difference(answered))
    if missing:
        raise BadBody(f"Expected toolResult blocks at {where}.content for the following Ids: {', '.join(missing)}")


# -- InvokeModel ----------------------------------------------------------------------------------------------------


def read_invoke(body: bytes, where: Where) -> Asked:
    """A request to InvokeModel, with a stream or without. Raises `BadBody`."""
    model, _ = model_of(where)
    for part, read in _READERS.items():
        if part in model:
            return read(body, where)
    return _claude(body, where)


def _streams(where: Where) -> bool:
    return where.path.endswith("/invoke-with-response-stream")


def _claude(body: bytes, where: Where) -> Asked:
    """Anthropic's Messages; the model and whether to stream must not be in the body."""
    members = _decoded(dict[str, msgspec.Raw], body)
    if "anthropic_version" not in members:
        raise BadBody("anthropic_version: Field required")
    if msgspec.json.decode(members["anthropic_version"]) not in CLAUDE_VERSIONS:
        raise BadBody(f"anthropic_version: Input should be {CLAUDE_VERSIONS[0]!r}")
    return _elsewhere(read_messages, members, where)


def _chat(body: bytes, where: Where) -> Asked:
    """Chat completions without model and stream."""
    return _elsewhere(read_chat, _decoded(dict[str, msgspec.Raw], body), where)


def _elsewhere(read: Callable[[bytes, Where], Asked], members: Mapping[str, msgspec.Raw], where: Where) -> Asked:
    """What a vendor's own reader makes of the body, with the model and whether to stream taken from the path."""
    for name in ("model", "stream"):
        if name in members:
            raise BadBody(f"{name}: Extra inputs are not permitted")
    model, options = model_of(where)
    asked = read(msgspec.json.encode({**members, "model": model}), where)
    return msgspec.structs.replace(asked, model=model, options=options, stream=_streams(where))


def _nova(body: bytes, where: Where) -> Asked:
    said = _decoded(_Converse, body)
    if said.schema_version not in (None, "messages-v1"):
        raise BadBody(f"Malformed input request: #/schemaVersion: {said.schema_version} is not a valid enum value")
    return _converse(said, where, stream=_streams(where))


def _titan(body: bytes, where: Where) -> Asked:
    said = _decoded(_Titan, body)
    config = said.text_generation_config
    return _prompt(where, said.input_text, config.max_token_count, config.stop_sequences)


def _prompted(body: bytes, where: Where) -> Asked:
    said = _decoded(_Prompted, body)
    return _prompt(where, said.prompt, said.max_gen_len or said.max_tokens, said.stop or said.stop_sequences)


_SPEAKERS: Final = {"USER": Voice.USER, "CHATBOT": Voice.MODEL}


def _command_r(body: bytes, where: Where) -> Asked:
    said = _decoded(_CommandR, body)
    heard = joined([*(str(turn.get("message", "")) for turn in said.chat_history), said.message])
    asked = _prompt(where, said.message, said.max_tokens, said.stop_sequences)
    past = (
        Spoken(_SPEAKERS.get(str(turn.get("role")), Voice.OTHER), str(turn.get("message", "")))
        for turn in said.chat_history
    )
    return msgspec.structs.replace(asked, heard=heard, turns=(*past, Spoken(Voice.USER, said.message)))


def _prompt(where: Where, prompt: str, max_tokens: int | None, stop: Sequence[str]) -> Asked:
    model, options = model_of(where)
    return Asked(
        model=model,
        options=options,
        prompt=prompt,
        heard=prompt,
        stream=_streams(where),
        max_tokens=max_tokens,
        stop=tuple(stop),
    )


_READERS: Final[Mapping[str, Callable[[bytes, Where], Asked]]] = {
    "anthropic.claude": _claude,
    "amazon.nova": _nova,
    "amazon.titan": _titan,
    "meta.llama": _prompted,
    "mistral.": _prompted,
    "cohere.command-r": _command_r,
    "cohere.": _prompted,
    "ai21.jamba": _chat,
    "openai.": _chat,
    "qwen.": _chat,
}
