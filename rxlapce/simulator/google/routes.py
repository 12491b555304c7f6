"""Google's paths: the Gemini API's, Vertex AI's, and those where access tokens come from."""

from typing import Any, Final

from rxlapce.simulator.asked import BadBody, Where
from rxlapce.simulator.google import tokens as google_tokens
from rxlapce.simulator.google.asked import read_count, read_generate
from rxlapce.simulator.google.claude import ClaudeOnVertex, count_tokens, read_raw_predict
from rxlapce.simulator.google.json import pretty
from rxlapce.simulator.google.vendor import CLAUDE_ON_VERTEX, GEMINI, METADATA, OAUTH, VERTEX
from rxlapce.simulator.google.wires import gemini_wire, vertex_wire
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.reply import prompt_tokens
from rxlapce.simulator.route import PlainRoute, Route

_PAGE: Final = 50
_LARGEST_PAGE: Final = 1000


def _page(models: list[dict[str, Any]], member: str, where: Where) -> bytes:
    """A page of the list; `nextPageToken` is there unless it is the last. Raises `BadBody`."""
    size, token = where.query.get("pageSize", ""), where.query.get("pageToken", "")
    if not (size.isdecimal() or not size) or not (token.isdecimal() or not token):
        raise BadBody("Request contains an invalid argument.", "pageToken")
    start = int(token or 0)
    end = start + min(int(size or 0) or _PAGE, _LARGEST_PAGE)
    page: dict[str, Any] = {member: models[start:end]}
    if end < len(models):
        page["nextPageToken"] = str(end)
    return pretty(page).encode() + b"\n"


def _gemini_models(_body: bytes, where: Where) -> bytes:
    models = [
        {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "description": meaning,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
        for name, meaning in SHOWCASE.items()
    ]
    models.append({"name": "models/sim-embedding", "version": "001", "supportedGenerationMethods": ["embedContent"]})
    return _page(models, "models", where)


def _vertex_models(_body: bytes, where: Where) -> bytes:
    models = [
        {"name": f"publishers/google/models/{name}", "versionId": "default", "launchStage": "GA"} for name in SHOWCASE
    ]
    return _page(models, "publisherModels", where)


def _count(body: bytes, where: Where) -> bytes:
    count = prompt_tokens(read_count(body, where))
    details = [{"modality": "TEXT", "tokenCount": count}]
    return pretty({"totalTokens": count, "promptTokensDetails": details}).encode() + b"\n"


#: The list of models is under the first alone: under `/v1/models` stands OpenAI's and Anthropic's.
_VERSIONS: Final = ("v1beta", "v1")
_VERTEX: Final = "/v1/projects/{project}/locations/{location}/publishers/"
_CLAUDE: Final = _VERTEX + "anthropic/models/"
_MACHINE: Final = "/computeMetadata/v1/"
_TEXT: Final = {"content-type": "application/text", "metadata-flavor": "Google"}
_JSON: Final = {"content-type": "application/json", "metadata-flavor": "Google"}

ROUTES: Final = (
    *(
        Route(f"{root}{{model}}:{verb}", vendor, read_generate, wire)
        for root, vendor, wire in (
            *((f"/{version}/models/", GEMINI, gemini_wire) for version in _VERSIONS),
            (_VERTEX + "google/models/", VERTEX, vertex_wire),
        )
        for verb in ("generateContent", "streamGenerateContent")
    ),
    *(
        # `count-tokens` stands where a model does, and is none.
        Route(f"{_CLAUDE}{{model:(?!count-tokens:)[^/]+}}:{verb}", CLAUDE_ON_VERTEX, read_raw_predict, ClaudeOnVertex)
        for verb in ("rawPredict", "streamRawPredict")
    ),
)
PLAIN_ROUTES: Final = (
    *(PlainRoute("POST", f"/{version}/models/{{model}}:countTokens", GEMINI, _count) for version in _VERSIONS),
    PlainRoute("GET", "/v1beta/models", GEMINI, _gemini_models),
    PlainRoute("POST", _VERTEX + "google/models/{model}:countTokens", VERTEX, _count),
    PlainRoute("POST", _CLAUDE + "count-tokens:rawPredict", CLAUDE_ON_VERTEX, count_tokens),
    PlainRoute("GET", "/v1beta1/publishers/google/models", VERTEX, _vertex_models),
    PlainRoute("POST", "/token", OAUTH, google_tokens.exchange),
    PlainRoute("GET", "/", METADATA, google_tokens.root, _TEXT),
    PlainRoute(
        "GET", _MACHINE + "instance/service-accounts/{account}/", METADATA, google_tokens.service_account, _JSON
    ),
    PlainRoute(
        "GET", _MACHINE + "instance/service-accounts/{account}/token", METADATA, google_tokens.machine_token, _JSON
    ),
    PlainRoute("GET", _MACHINE + "project/project-id", METADATA, google_tokens.project_id, _TEXT),
    PlainRoute("GET", _MACHINE + "universe/universe-domain", METADATA, google_tokens.universe_domain, _TEXT),
    PlainRoute("GET", _MACHINE + "universe/universe_domain", METADATA, google_tokens.universe_domain, _TEXT),
)
