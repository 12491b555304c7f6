"""generateContent: what Gemini speaks, on the Gemini API and on Vertex AI.

The model stands in the URL, and so does whether the answer is streamed and in which framing (`alt=sse`, else a JSON
array). Source: the Gemini API's reference, "Generating content".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.generate_content_decoder import GenerateContentDecoder
from rxlapce.dialects.generate_content_errors import add_details
from rxlapce.dialects.json_values import is_object, loads
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

#: What Google's documentation ("Thought signatures", FAQ) has in the place of a signature that is not known.
UNSIGNED: Final = "skip_thought_signature_validator"

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


@dataclass(slots=True, kw_only=True)
class GenerateContent:
    """The dialect `gemini.streamGenerateContent`.

    `unsigned`: Gemini 3 refuses (400) a function call of the history whose turn lacks the signature that it came with.
    A `RequestedCall` carries none, so that the first call of each turn is sent with this word, which Google accepts in
    its place and earlier models do not look at. None sends nothing. `now` is the wall clock, for a Retry-After that is
    a date.
    """

    unsigned: str | None = UNSIGNED
    now: Callable[[], float] = time.time
    name: str = "gemini.streamGenerateContent"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return GenerateContentDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body, the same whether streamed or not; `model` is for the URL.

        System and developer turns are joined into `systemInstruction`, wherever they stand. Results of tools in a row
        share one user turn; one that is no JSON object becomes `{"result": text}`. `extra` members win; an extra
        `generationConfig` or `toolConfig` is laid over ours member by member, so that
        `{"generationConfig": {"thinkingConfig": {"includeThoughts": true}}}` leaves the rest as it is.

        Raises `ProviderError` (bad_request) for a conversation of system turns alone, for a tool turn that answers no
        earlier call (its function's name is needed), and for tool arguments that are no JSON object.
        """
        contents = self._contents(request.messages)
        if not contents:
            raise _cannot("Gemini needs a user turn beside the system's")
        system = [turn.content for turn in request.messages if turn.role in ("system", "developer") and turn.content]
        body: dict[str, Any] = {"contents": contents}
        if system:
            body["systemInstruction"] = {"parts": [{"text": "\n\n".join(system)}]}
        settings = {
            "maxOutputTokens": request.max_tokens,
            "temperature": request.temperature,
            "topP": request.top_p,
            "stopSequences": list(request.stop) or None,
            "seed": request.seed,
            "candidateCount": request.n,
        }
        config = {name: value for name, value in settings.items() if value is not None}
        if config:
            body["generationConfig"] = config
        if request.tools:
            declarations = [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
                for tool in request.tools
            ]
            body["tools"] = [{"functionDeclarations": declarations}]
        if request.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _tool_choice(request.tool_choice)}
        for name, value in request.extra.items():
            ours = body.get(name) if name in ("generationConfig", "toolConfig") else None
            body[name] = {**ours, **value} if is_object(ours) and is_object(value) else value
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        GenerateContentDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means: an object, or an array of one."""
        return add_details(failures.from_response(status, headers, body, now=self.now()), loads(body))

    def _contents(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        contents: list[dict[str, Any]] = []
        names: dict[str, str] = {}  # of the functions that were called, by call
        results: list[dict[str, Any]] | None = None  # of the tool turns in a row, which share one user turn
        for message in messages:
            names.update({call.id: call.name for call in message.tool_calls})
            if message.role == "tool":
                if results is None:
                    results = []
                    contents.append({"role": "user", "parts": results})
                results.append(_result(message, names))
            elif message.role not in ("system", "developer"):
                results = None
                role = "model" if message.role == "assistant" else "user"
                contents.append({"role": role, "parts": self._parts(message)})
        return contents

    def _parts(self, message: Message) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        if message.content or not message.tool_calls:
            parts.append({"text": message.content})
        for number, call in enumerate(message.tool_calls):
            part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": _arguments(call)}}
            if number == 0 and self.unsigned is not None:
                part["thoughtSignature"] = self.unsigned
            parts.append(part)
        return parts


def _cannot(why: str) -> ProviderError:
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)


def _arguments(call: RequestedCall) -> dict[str, Any]:
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _cannot(f"the arguments of tool call {call.id!r} are no JSON object: {error}") from None


def _result(message: Message, names: dict[str, str]) -> dict[str, Any]:
    call_id = message.tool_call_id
    if call_id is None or call_id not in names:
        raise _cannot("a tool turn must name, in tool_call_id, a call of an earlier assistant turn")
    said = loads(message.content)
    response = said if is_object(said) else {"result": message.content}
    return {"functionResponse": {"id": call_id, "name": names[call_id], "response": response}}


def _tool_choice(choice: str) -> dict[str, Any]:
    if choice in _MODES:
        return {"mode": _MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}
