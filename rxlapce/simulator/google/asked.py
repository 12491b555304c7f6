"""generateContent's requests, read into the one shape of `asked`.

Google reads JSON strictly, as protobuf has it: an unknown member is refused. What else it refuses is told in its own
words. Source: the Gemini API's reference, "Generating content", and its guide, "Thought signatures".
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.simulator.asked import Asked, BadBody, OfferedTool, Spoken, Voice, Where, joined
from rxlapce.simulator.google.request import (
    FREE,
    Body,
    Call,
    Content,
    CountTokens,
    Function,
    Generation,
)
from rxlapce.simulator.options import split_model

_MOST_CANDIDATES: Final = 8
#: The members of a part of which exactly one says what it is.
_DATA: Final = (
    "text",
    "inline_data",
    "file_data",
    "function_call",
    "function_response",
    "executable_code",
    "code_execution_result",
)


class GoogleAsked(Asked, frozen=True):
    """What was asked of Gemini. `sse` is the framing of a stream, which stands in the query: else it is an array."""

    sse: bool = False


_T = TypeVar("_T")


def _decoded(kind: type[_T], body: bytes) -> _T:
    """The typed body. Raises `BadBody` in Google's words, as far as msgspec's allow."""
    try:
        return msgspec.convert(_in_camel_case(msgspec.json.decode(body)), kind)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at ")
        where = path.strip("`").removeprefix("$").removeprefix(".")
        if "unknown field" in words:
            at = f" at '{where}'" if where else ""
            raise BadBody(
                f'Invalid JSON payload received. Unknown name "{words.split("`")[1]}"{at}: Cannot find field.', where
            ) from None
        raise BadBody(f"Invalid value at '{where}': {words}", where) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBody(f"Invalid JSON payload received. {error}") from None


def _in_camel_case(value: Any) -> Any:
    """The same with the members that protobuf also takes in snake_case renamed, which Google's own SDK mixes.

    What is the caller's own stays: arguments, responses, schemas and labels.
    """
    if is_array(value):
        return [_in_camel_case(item) for item in value]
    if not is_object(value):
        return value
    renamed = {_UNDERSCORE.sub(_capital, name): member for name, member in value.items()}
    return {name: member if name in FREE else _in_camel_case(member) for name, member in renamed.items()}


_UNDERSCORE: Final = re.compile("_([a-z])")


def _capital(found: re.Match[str]) -> str:
    return found[1].upper()


def read_generate(body: bytes, where: Where) -> Asked:
    """A request to generateContent or streamGenerateContent. Raises `BadBody`."""
    said = _decoded(Body, body)
    model, options = split_model(where.model or "")
    _check(said, model)
    config, calling = said.generation_config, said.tool_config.function_calling_config
    wanted = config.thinking_config
    thinks = wanted.include_thoughts or wanted.thinking_level is not None or bool(wanted.thinking_budget)
    functions = [function for tool in said.tools for function in tool.function_declarations]
    return GoogleAsked(
        model=model,
        options=options,
        prompt=_last_prompt(said.contents),
        heard=_heard([said.system_instruction, *said.contents]),
        images=_count_media(said.contents),
        stream=":stream" in where.path.rpartition("/")[2],
        sse=where.query.get("alt") == "sse",
        choices=config.candidate_count,
        max_tokens=config.max_output_tokens,
        stop=tuple(config.stop_sequences),
        tools=tuple(OfferedTool(function.name, _schema(function)) for function in functions),
        must_call=calling.mode == "ANY",
        may_call=calling.mode != "NONE",
        only_tool=calling.allowed_function_names[0] if calling.allowed_function_names else None,
        tool_results=tuple(_results(said.contents[-1])),
        json_schema=_answer_schema(config),
        thinking=thinks,
        hide_reasoning=thinks and not wanted.include_thoughts,
        turns=tuple(_spoken(content) for content in said.contents),
    )


def read_count(body: bytes, where: Where) -> Asked:
    """A request to countTokens: contents alone, or a whole request. Raises `BadBody`."""
    said = _decoded(CountTokens, body)
    whole = said.generate_content_request
    contents = whole.contents if whole else said.contents
    if not contents:
        raise BadBody("* CountTokensRequest.contents: contents is not specified\n", "contents")
    system = whole.system_instruction if whole else said.system_instruction
    model, options = split_model(where.model or "")
    heard = _heard([system, *contents])
    return Asked(model=model, options=options, prompt="", heard=heard, images=_count_media(contents))


# -- what is refused ------------------------------------------------------------------------------------------------


def _check(said: Body, model: str) -> None:
    """What Google demands of a request. Raises `BadBody`."""
    config = said.generation_config
    if not said.contents:
        raise BadBody("* GenerateContentRequest.contents: contents is not specified\n", "contents")
    if not 1 <= config.candidate_count <= _MOST_CANDIDATES:
        raise BadBody(
            f"Unable to submit request because it has a candidateCount value of {config.candidate_count} but the "
            f"supported range is from 1 (inclusive) to {_MOST_CANDIDATES + 1} (exclusive). Update the value and try "
            "again.",
            "generation_config.candidate_count",
        )
    if config.max_output_tokens is not None and config.max_output_tokens < 1:
        raise BadBody("max_output_tokens must be positive.", "generation_config.max_output_tokens")
    schemas = [config.response_schema, config.response_json_schema]
    if any(schema is not None for schema in schemas) and config.response_mime_type != "application/json":
        raise BadBody(
            "* GenerateContentRequest.generation_config.response_schema: only allowed when response_mime_type is "
            "'application/json'\n",
            "generation_config.response_schema",
        )
    if config.thinking_config.thinking_budget is not None and config.thinking_config.thinking_level is not None:
        raise BadBody("You can only set only one of thinking budget and thinking level.", "generation_config")
    for number, content in enumerate(said.contents):
        _check_content(content, number)
    _check_calls(said.contents)
    if "gemini-3" in model:
        _check_signatures(said.contents)


def _check_content(content: Content, number: int) -> None:
    if content.role not in (None, "user", "model", "function"):
        raise BadBody("Please use a valid role: user, model.", f"contents[{number}].role")
    if not content.parts:
        raise BadBody(
            f"* GenerateContentRequest.contents[{number}].parts: contents.parts must not be empty.\n", "contents"
        )
    for position, part in enumerate(content.parts):
        if sum(getattr(part, name) is not None for name in _DATA) != 1:
            raise BadBody(
                f"* GenerateContentRequest.contents[{number}].parts[{position}].data: required oneof field 'data' must "
                "have one initialized field\n",
                "contents",
            )


def _check_calls(contents: Sequence[Content]) -> None:
    """Each turn that calls must be followed by as many responses, to the functions that it called."""
    for asked, answered in zip([None, *contents], [*contents, None], strict=True):
        calls = _calls(asked)
        responses = [part.function_response for part in answered.parts if part.function_response] if answered else []
        if answered is not None and len(calls) != len(responses):
            raise BadBody(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
                "contents",
            )
        called = [call.name for call in calls]
        for response in responses:
            if response.name not in called:
                raise BadBody(
                    f"Function response {response.name!r} does not answer any function call of the turn before it.",
                    "contents",
                )


def _calls(content: Content | None) -> list[Call]:
    return [part.function_call for part in content.parts if part.function_call] if content else []


def _check_signatures(contents: Sequence[Content]) -> None:
    """Gemini 3 wants the first call of each step of the current turn with the signature that it came with.

    The current turn begins with the last user content that is no function response.
    """
    start = max(
        (number for number, content in enumerate(contents) if content.role != "model" and not _results(content)),
        default=0,
    )
    for number, content in enumerate(contents[start:], start):
        parts = [part for part in content.parts if part.function_call]
        if content.role == "model" and parts and parts[0].thought_signature is None:
            name = _calls(content)[0].name
            raise BadBody(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{name}` , position {number + 1}. Please refer to "
                "https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
                "contents",
            )


# -- what is said ---------------------------------------------------------------------------------------------------


def _own_text(content: Content) -> str:
    return "\n".join(part.text for part in content.parts if part.text)


def _spoken(content: Content) -> Spoken:
    if content.role == "model":
        return Spoken(Voice.MODEL, "".join(part.text for part in content.parts if part.text and not part.thought))
    return Spoken(Voice.USER, _own_text(content), tuple(_results(content)))


def _last_prompt(contents: Sequence[Content]) -> str:
    """The text of the last user turn that has any."""
    texts = (_own_text(content) for content in reversed(contents) if content.role != "model")
    return next((text for text in texts if text), "")


def _results(content: Content) -> list[str]:
    """What functions answered, each as JSON text."""
    responses = (part.function_response for part in content.parts if part.function_response)
    return [msgspec.json.encode(response.response).decode() for response in responses]


def _heard(contents: Iterable[Content]) -> str:
    return joined(text for content in contents for text in (_own_text(content), *_results(content)))


def _count_media(contents: Sequence[Content]) -> int:
    return sum(bool(part.inline_data or part.file_data) for content in contents for part in content.parts)


def _schema(function: Function) -> dict[str, Any]:
    if function.parameters is not None and function.parameters_json_schema is not None:
        raise BadBody(
            f"Function {function.name!r}: only one of parameters and parameters_json_schema can be set.", "tools"
        )
    return function.parameters_json_schema or _as_json_schema(function.parameters or {})


def _answer_schema(config: Generation) -> Mapping[str, Any] | None:
    if config.response_mime_type != "application/json":
        return None
    return config.response_json_schema or _as_json_schema(config.response_schema or {})


def _as_json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Google's own schema as a JSON Schema: the names of its types are in capitals."""
    converted: dict[str, Any] = json.loads(json.dumps(schema), object_hook=_with_json_type)
    return converted


def _with_json_type(members: dict[str, Any]) -> dict[str, Any]:
    kind = members.get("type")
    return {**members, "type": kind.lower()} if isinstance(kind, str) else members
