"""generateContent: what Gemini speaks, on the Gemini API and on Vertex AI.

The model stands in the URL, and so does whether the answer is streamed and in which framing (`alt=sse`, else a JSON
array). Source: the Gemini API's reference, "Generating content" and "Counting tokens".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.counting import read_count
from rxlapce.dialects.generate_content_decoder import GenerateContentDecoder
from rxlapce.dialects.generate_content_request import body_members
from rxlapce.dialects.google_details import add_details
from rxlapce.dialects.json_values import is_object, loads
from rxlapce.dialects.turns import encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

#: What Google's documentation ("Thought signatures", FAQ) has in the place of a signature that is not known.
UNSIGNED: Final = "skip_thought_signature_validator"

#: What Vertex AI counts of a request; it refuses the other members.
COUNTED: Final = ("contents", "systemInstruction", "tools", "generationConfig")


@dataclass(slots=True, kw_only=True)
class GenerateContent:
    """The dialect `gemini.streamGenerateContent`, and its `TokenCounter`.

    `unsigned`: Gemini 3 refuses (400) a function call of the history whose turn lacks the signature that it came with.
    Where the first call of a turn has none (the turn is another model's, or was written by hand) it is sent with this
    word, which Google accepts in its place and earlier models do not look at. None sends nothing. `count_wrapped`: the
    Gemini API counts a whole request that is wrapped in a member; Vertex AI (False) takes the members of `COUNTED`.
    `now` is the wall clock, for a Retry-After that is a date.
    """

    unsigned: str | None = UNSIGNED
    count_wrapped: bool = True
    now: Callable[[], float] = time.time
    name: str = "gemini.streamGenerateContent"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return GenerateContentDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body, the same whether streamed or not; `model` is for the URL.

        System and developer turns are joined into `systemInstruction`, wherever they stand. Results of tools in a row
        share one user turn; one that is no JSON object becomes `{"result": text}`. An earlier answer goes back whole:
        thoughts, and each signature on its part; `generate_content_request` says what is no part of it. `extra` members
        win; an extra `generationConfig` or `toolConfig` is laid over ours member by member, so that
        `{"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}` leaves the rest as it is.

        Raises `ProviderError` (bad_request) for a conversation of system turns alone, for a tool turn that answers no
        earlier call (its function's name is needed), for tool arguments that are no JSON object, for an image at a URL
        that is neither https nor gs, for the effort `max`, for an effort and a number of tokens to think together, for
        `parallel_tool_calls`, and for a cached prefix of an hour.
        """
        return encode_body(self._members(request))

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """See `TokenCounter.count_body`; what counts is all that `chat_body` would send."""
        members = self._members(request)
        if self.count_wrapped:
            resource = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
            return encode_body({"generateContentRequest": {"model": resource, **members}})
        return encode_body({name: members[name] for name in COUNTED if name in members})

    def read_count(self, body: bytes) -> int:
        """See `TokenCounter.read_count`."""
        return read_count(body, "totalTokens")

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        GenerateContentDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means: an object, or an array of one."""
        return add_details(failures.from_response(status, headers, body, now=self.now()), loads(body))

    def _members(self, request: ChatRequest) -> dict[str, Any]:
        members = body_members(request, self.unsigned)
        for name, value in request.extra.items():
            ours = members.get(name) if name in ("generationConfig", "toolConfig") else None
            members[name] = {**ours, **value} if is_object(ours) and is_object(value) else value
        return members
