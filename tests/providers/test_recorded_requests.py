import pytest

from rxlapce.operators.recording import RecordingHeader
from rxlapce.providers.apis import APIS
from rxlapce.providers.recorded import api_of_target, format_of, model_of_request


@pytest.mark.parametrize(
    ("target", "api"),
    [
        ("/v1/chat/completions", "openai.chat.completions"),
        ("/openai/deployments/gpt/chat/completions?api-version=1", "openai.chat.completions"),
        ("/v1/responses", "openai.responses"),
        ("/v1/completions", "openai.completions"),
        ("/v1/messages?beta=true", "anthropic.messages"),
        ("/v1/projects/p/models/claude:streamRawPredict", "anthropic.messages"),
        ("/v1/complete", "anthropic.complete"),
        ("/v1beta/models/g:streamGenerateContent?alt=sse", "gemini.streamGenerateContent?alt=sse"),
        ("/v1beta/models/g:streamGenerateContent?key=k&alt=sse", "gemini.streamGenerateContent?alt=sse"),
        ("/v1beta/models/g:streamGenerateContent?alt=ssexy", "gemini.streamGenerateContent (JSON array)"),
        ("/v1beta/models/g:streamGenerateContent", "gemini.streamGenerateContent (JSON array)"),
        ("/model/a.b/converse-stream", "bedrock.converse-stream"),
        ("/model/a.b/invoke-with-response-stream", "bedrock.invoke-with-response-stream"),
        ("/api/chat", "ollama.chat"),
        ("/v1/models", ""),
        ("/", ""),
    ],
)
def test_a_path_tells_the_api_that_is_asked(target: str, api: str) -> None:
    assert api_of_target(target) == api
    assert api == "" or api in APIS


@pytest.mark.parametrize(
    ("target", "body", "model"),
    [
        ("/v1/chat/completions", b'{"model": "gpt"}', "gpt"),
        ("/v1/chat/completions", b'{"model": 3}', ""),
        ("/v1/chat/completions", b"\xff{", ""),
        ("/v1beta/models/gemini-2:streamGenerateContent?alt=sse", b"{}", "gemini-2"),
        ("/model/anthropic.claude-v1%3A0/converse-stream", b"{}", "anthropic.claude-v1:0"),
        ("/openai/deployments/mine/chat/completions", b"{}", "mine"),
    ],
)
def test_a_request_tells_its_model_in_the_body_or_in_the_path(target: str, body: bytes, model: str) -> None:
    assert model_of_request(target, body) == model


def test_a_whole_answer_of_an_unknown_server_is_read_as_its_usual_api_says() -> None:
    header = RecordingHeader(format="rxlapce-recording", version=1, provider="openai", content_type="application/json")
    assert format_of(header) is APIS["openai.chat.completions"]


def test_a_framing_tells_the_api_where_nothing_else_does() -> None:
    header = RecordingHeader(format="rxlapce-recording", version=1, framing="ndjson")
    assert format_of(header) is APIS["ollama.chat"]
