"""generateContent's request as it stands on the wire. Of what is never looked into, the member's name is enough.

Source: the Gemini API's reference, "Generating content" and "Counting tokens", and Vertex AI's of the same names.
"""

import re
from typing import Any, Final

import msgspec

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")

#: The members whose own members are the caller's.
FREE: Final = frozenset(
    {
        "args",
        "labels",
        "parameters",
        "parametersJsonSchema",
        "partMetadata",
        "response",
        "responseJsonSchema",
        "responseSchema",
    }
)


class Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An object without members of other names, as protobuf reads JSON."""


class Call(Strict, frozen=True):
    """What a model turn asks to be called."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class Response(Strict, frozen=True):
    """What a function answered."""

    name: str
    response: dict[str, Any]
    id: str | None = None
    will_continue: bool | None = None
    scheduling: str | None = None
    parts: list[dict[str, Any]] = []


class Blob(Strict, frozen=True):
    """A file within the request, in either alphabet of base64: Google's own client writes the one for URLs."""

    mime_type: str
    data: str
    display_name: str | None = None

    def __post_init__(self) -> None:
        if _BASE64.fullmatch(self.data) is None:
            raise ValueError("Invalid base64 encoded string")


class File(Strict, frozen=True):
    """A file elsewhere."""

    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class Part(Strict, frozen=True):
    """A piece of a turn."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: File | None = None
    function_call: Call | None = None
    function_response: Response | None = None
    executable_code: dict[str, Any] | None = None
    code_execution_result: dict[str, Any] | None = None
    video_metadata: dict[str, Any] | None = None
    media_resolution: Any = None
    part_metadata: dict[str, Any] | None = None


class Content(Strict, frozen=True):
    """A turn."""

    parts: list[Part] = []
    role: str | None = None


class Function(Strict, frozen=True):
    """A function that may be called, with a schema of Google's or of JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    behavior: str | None = None


class Tool(Strict, frozen=True):
    """Functions, or a tool of Google's own."""

    function_declarations: list[Function] = []
    google_search: dict[str, Any] | None = None
    google_search_retrieval: dict[str, Any] | None = None
    code_execution: dict[str, Any] | None = None
    url_context: dict[str, Any] | None = None
    google_maps: dict[str, Any] | None = None
    computer_use: dict[str, Any] | None = None
    file_search: dict[str, Any] | None = None


class Calling(Strict, frozen=True):
    """Whether functions may or must be called."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(Strict, frozen=True):
    """How tools are used."""

    function_calling_config: Calling = Calling()
    retrieval_config: dict[str, Any] | None = None
    include_server_side_tool_invocations: bool | None = None


class Thinking(Strict, frozen=True):
    """How much to think, and whether to tell."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class Generation(Strict, frozen=True):
    """How to answer."""

    stop_sequences: list[str] = []
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: list[str] = []
    candidate_count: int = 1
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: Thinking = Thinking()
    media_resolution: str | None = None
    speech_config: dict[str, Any] | None = None
    image_config: dict[str, Any] | None = None
    audio_timestamp: bool | None = None
    routing_config: dict[str, Any] | None = None
    enable_enhanced_civic_answers: bool | None = None


class Body(Strict, frozen=True):
    """A request to generateContent."""

    contents: list[Content] = []
    model: str | None = None
    tools: list[Tool] = []
    tool_config: ToolConfig = ToolConfig()
    safety_settings: list[dict[str, Any]] = []
    system_instruction: Content = Content()
    generation_config: Generation = Generation()
    cached_content: str | None = None
    labels: dict[str, str] = {}
    service_tier: str | None = None
    store: bool | None = None


class CountTokens(Strict, frozen=True):
    """A request to countTokens."""

    contents: list[Content] = []
    generate_content_request: Body | None = None
    system_instruction: Content = Content()
    tools: list[Tool] = []
    generation_config: Generation | None = None
