"""HTTP failures of all shapes: kind, where to retry, how long to wait, what to say."""

import json
import time
from typing import Any

import pytest

from rxlapce.dialects.failures import MAX_MESSAGE_CHARS, from_response, retry_after_s
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def read(status: int, body: Any = b"", **headers: str) -> ProviderError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_response(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, now=NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "70"}, 0.07),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 -0000"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "in a while"}, None),
        ({"retry-after": "Fri, 99 Jan 2027 07:00:00 GMT"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (400, ErrorKind.BAD_REQUEST, Retry.NEVER),
        (401, ErrorKind.AUTH, Retry.OTHER_KEY),
        (402, ErrorKind.BILLING, Retry.OTHER_KEY),
        (403, ErrorKind.AUTH, Retry.OTHER_KEY),
        (404, ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
        (408, ErrorKind.TIMEOUT, Retry.SAME),
        (409, ErrorKind.OVERLOADED, Retry.SAME),
        (413, ErrorKind.CONTEXT_LENGTH, Retry.OTHER_PROVIDER),
        (422, ErrorKind.BAD_REQUEST, Retry.NEVER),
        (429, ErrorKind.RATE_LIMIT, Retry.SAME),
        (500, ErrorKind.OVERLOADED, Retry.SAME),
        (502, ErrorKind.OVERLOADED, Retry.SAME),
        (503, ErrorKind.OVERLOADED, Retry.SAME),
        (504, ErrorKind.TIMEOUT, Retry.SAME),
        (499, ErrorKind.OVERLOADED, Retry.SAME),
        (529, ErrorKind.OVERLOADED, Retry.SAME),
        (302, ErrorKind.PROTOCOL, Retry.OTHER_PROVIDER),
    ],
)
def test_status_alone(status: int, kind: ErrorKind, retry: Retry) -> None:
    error = read(status)
    assert (error.kind, error.retry, error.phase, error.status) == (kind, retry, Phase.HEADERS, status)
    assert "empty body" in error.message


def openai(message: str = "no", **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}


BODIES: dict[str, tuple[int, Any, ErrorKind, Retry]] = {
    "no money left": (
        429,
        openai(code="insufficient_quota", type="insufficient_quota"),
        ErrorKind.QUOTA,
        Retry.OTHER_KEY,
    ),
    "credits used up": (429, openai(code="credit_balance_exhausted"), ErrorKind.BILLING, Retry.OTHER_KEY),
    "tokens a minute": (429, openai(type="tokens", code="rate_limit_exceeded"), ErrorKind.RATE_LIMIT, Retry.SAME),
    "ramp down": (503, openai(code="slow_down"), ErrorKind.RATE_LIMIT, Retry.SAME),
    "prompt too long": (400, openai(code="context_length_exceeded"), ErrorKind.CONTEXT_LENGTH, Retry.OTHER_PROVIDER),
    "prompt too long, in words": (
        400,
        openai("This model's maximum context length is 8192 tokens."),
        ErrorKind.CONTEXT_LENGTH,
        Retry.OTHER_PROVIDER,
    ),
    "wrong key": (401, openai("Incorrect API key provided", code="invalid_api_key"), ErrorKind.AUTH, Retry.OTHER_KEY),
    "no such model": (404, openai(code="model_not_found"), ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    "Azure's filter": (
        400,
        openai(code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
        ErrorKind.CONTENT_FILTER,
        Retry.NEVER,
    ),
    "spending limit": (
        429,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "message": "x",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
        ErrorKind.QUOTA,
        Retry.OTHER_KEY,
    ),
    "Anthropic's prepaid credit": (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
        ErrorKind.BILLING,
        Retry.OTHER_KEY,
    ),
    "too large a body": (
        413,
        {"type": "error", "error": {"type": "request_too_large", "message": "x"}},
        ErrorKind.CONTEXT_LENGTH,
        Retry.OTHER_PROVIDER,
    ),
    "OpenRouter's moderation": (
        403,
        {"error": {"code": 403, "message": "Input flagged", "metadata": {"reasons": ["violence"]}}},
        ErrorKind.CONTENT_FILTER,
        Retry.NEVER,
    ),
    "a cause inside OpenRouter's error": (
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps(openai(code="context_length_exceeded"))},
            }
        },
        ErrorKind.CONTEXT_LENGTH,
        Retry.OTHER_PROVIDER,
    ),
    "Google's list of one": (
        429,
        [{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}],
        ErrorKind.RATE_LIMIT,
        Retry.SAME,
    ),
    "the HTTP status wins over one in the body": (
        503,
        {"error": {"code": 400, "message": "x"}},
        ErrorKind.OVERLOADED,
        Retry.SAME,
    ),
    "anthropic: what the answer would have been is blocked, in words alone": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"},
        },
        ErrorKind.CONTENT_FILTER,
        Retry.NEVER,
    ),
    "xai: a blocked prompt is no matter of the key": (
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        },
        ErrorKind.CONTENT_FILTER,
        Retry.NEVER,
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_body_says_more_than_the_status(case: str) -> None:
    status, body, kind, retry = BODIES[case]
    error = read(status, body)
    assert (error.kind, error.retry) == (kind, retry)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "said\n  so"}}, "said so"),
        ({"error": "said so"}, "said so"),
        ({"code": "c", "error": "said so"}, "said so"),
        ({"message": "said so", "type": "t"}, "said so"),
        ({"object": "error", "message": {"detail": "said so"}}, '{"detail":"said so"}'),
        ({"detail": "said so"}, "said so"),
        ({"detail": [{"loc": ["body"], "msg": "said so"}]}, "said so"),
        ({"errors": [{"message": "said so"}]}, "said so"),
        ([{"error": {"message": "said so"}}], "said so"),
        ({"error": {"type": "only_a_type"}}, "only_a_type"),
        (b"<html><head><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway (an HTML page, Bad Gateway)"),
        (b"<html>nothing</html>", "Bad Gateway"),
        (b"upstream connect error", "Bad Gateway: upstream connect error"),
        (b"", "Bad Gateway, with an empty body"),
        (b'{"unknown": 1}', 'Bad Gateway: {"unknown": 1}'),
        (b"\xff\xfe", "Bad Gateway: \ufffd\ufffd"),
        (b"[" * 100_000, "Bad Gateway: " + "[" * (MAX_MESSAGE_CHARS - 16) + "..."),
    ],
)
def test_message_is_one_short_line_of_any_body(body: Any, message: str) -> None:
    error = read(502, body)
    assert error.message == message
    assert len(error.raw or "") <= ProviderError.MAX_RAW_CHARS


def test_status_without_a_name() -> None:
    assert read(599).message == "no standard status, with an empty body"


@pytest.mark.parametrize(
    ("status", "body", "said", "retry"),
    [
        (500, {}, "false", Retry.OTHER_PROVIDER),
        (429, openai(code="rate_limit_exceeded"), "false", Retry.OTHER_PROVIDER),
        (400, openai(), "false", Retry.NEVER),
        (400, openai(), "true", Retry.SAME),
        (500, {}, "maybe", Retry.SAME),
        (401, openai(), "true", Retry.OTHER_KEY),
        (429, openai(code="insufficient_quota"), "true", Retry.OTHER_KEY),
    ],
)
def test_x_should_retry_is_obeyed_unless_the_key_is_spent(status: int, body: Any, said: str, retry: Retry) -> None:
    assert read(status, body, x_should_retry=said).retry is retry


def test_request_id_is_the_header_or_else_the_body() -> None:
    body = {"type": "error", "error": {"type": "api_error", "message": "x"}, "request_id": "req_body"}
    assert read(500, body, request_id="req_head").request_id == "req_head"
    assert read(500, body, x_request_id="x_head").request_id == "x_head"
    assert read(500, body).request_id == "req_body"
    assert read(500).request_id is None


def test_wait_is_kept() -> None:
    assert read(429, retry_after="7").retry_after_s == 7.0
    assert read(429, retry_after="Fri, 15 Jan 2027 08:00:30 GMT").retry_after_s == 30.0


@pytest.mark.parametrize("code", ['"\u00b2"', '"' + "9" * 5000 + '"', '"4\u0663\u0663"', "1e999", "null", "[]"])
def test_a_code_that_is_no_status_is_not_taken_for_one(code: str) -> None:
    body = f'{{"error": {{"message": "no", "code": {code}}}}}'.encode()
    error = from_response(401, {}, body, now=0)
    assert (error.kind, error.status) == (ErrorKind.AUTH, 401)


@pytest.mark.parametrize("body", [b"[" * 700 + b"]" * 700, b"[" * 5000, b'{"error":' * 400 + b"1" + b"}" * 400])
def test_a_deeply_nested_body_is_read_for_its_status(body: bytes) -> None:
    assert from_response(401, {}, body, now=0).kind is ErrorKind.AUTH


def test_a_page_of_open_titles_is_read_in_linear_time() -> None:
    page = b"<title>" * 9362
    began = time.process_time()
    for _ in range(20):
        from_response(502, {}, page, now=0)
    assert time.process_time() - began < 5  # quadratic: minutes


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"<html><TITLE lang=en> Bad gateway </TITLE>", "Bad gateway (an HTML page, Bad Gateway)"),
        (b"<html><title>never closed", "Bad Gateway"),
        (b"<html><title></title>", "Bad Gateway"),
        (b"<html></title><p>x", "Bad Gateway"),
    ],
)
def test_a_page_s_title_is_its_message(page: bytes, said: str) -> None:
    assert from_response(502, {}, page, now=0).message == said
