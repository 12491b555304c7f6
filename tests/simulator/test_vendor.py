from pathlib import Path

import msgspec
import pytest

from rxlapce.simulator.anthropic.vendor import ANTHROPIC
from rxlapce.simulator.openai.vendor import OPENAI
from rxlapce.simulator.options import REFUSALS, Fault
from rxlapce.simulator.routes import ROUTES
from rxlapce.simulator.vendor import Vendor, error_for


def test_anthropic_error_has_the_members_of_a_recorded_one(recordings: Path) -> None:
    recorded = msgspec.json.decode((recordings / "anthropic" / "messages-http-error-2.json").read_bytes())
    mine = msgspec.json.decode(error_for(ANTHROPIC, 429, model="m").body)
    assert list(mine) == list(recorded)
    assert list(mine["error"]) == list(recorded["error"])
    assert mine["error"]["type"] == recorded["error"]["type"]
    assert len(mine["request_id"]) == len(recorded["request_id"])


@pytest.mark.parametrize(
    ("vendor", "fault", "status", "kind", "code"),
    [
        (OPENAI, Fault.AUTH, 401, "invalid_request_error", "invalid_api_key"),
        (OPENAI, Fault.QUOTA, 429, "insufficient_quota", "insufficient_quota"),
        (OPENAI, Fault.RATE_LIMIT, 429, "tokens", "rate_limit_exceeded"),
        (OPENAI, Fault.OVERLOADED, 503, "server_error", "server_is_overloaded"),
        (OPENAI, Fault.CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded"),
        (OPENAI, 404, 404, "invalid_request_error", "model_not_found"),
        (OPENAI, 418, 418, "invalid_request_error", None),
        (OPENAI, 507, 507, "server_error", None),
        (ANTHROPIC, Fault.AUTH, 401, "authentication_error", None),
        (ANTHROPIC, Fault.QUOTA, 402, "billing_error", None),
        (ANTHROPIC, Fault.RATE_LIMIT, 429, "rate_limit_error", None),
        (ANTHROPIC, Fault.OVERLOADED, 529, "overloaded_error", None),
        (ANTHROPIC, Fault.CONTEXT_LENGTH, 400, "invalid_request_error", None),
        (ANTHROPIC, 413, 413, "request_too_large", None),
        (ANTHROPIC, 504, 504, "timeout_error", None),
    ],
)
def test_each_error_has_the_vendors_status_type_and_code(
    vendor: Vendor, fault: Fault | int, status: int, kind: str, code: str | None
) -> None:
    error = error_for(vendor, fault, model="m")
    said = msgspec.json.decode(error.body)["error"]
    assert (error.status, said["type"], said.get("code")) == (status, kind, code)
    assert "{" not in said["message"]


@pytest.mark.parametrize(
    "vendor", {route.vendor.name: route.vendor for route in ROUTES}.values(), ids=lambda vendor: vendor.name
)
def test_every_refusal_has_a_body_of_its_own_and_every_status_has_one(vendor: Vendor) -> None:
    assert len({error_for(vendor, fault).body for fault in REFUSALS}) == len(REFUSALS)
    assert all(error_for(vendor, status).body for status in range(400, 600))


def test_waiting_is_said_in_each_vendors_headers() -> None:
    assert error_for(OPENAI, 429, wait_s=0.25).headers == {"retry-after-ms": "250", "retry-after": "1"}
    assert error_for(ANTHROPIC, 429, wait_s=2).headers == {"x-should-retry": "true", "retry-after": "2"}
    assert error_for(ANTHROPIC, 400).headers == {"x-should-retry": "false"}
    assert error_for(OPENAI, 500).headers == {}


def test_the_proxy_in_front_answers_in_html() -> None:
    error = error_for(OPENAI, 502, wait_s=3)
    assert (error.content_type, error.headers) == ("text/html", {"retry-after": "3"})
    assert b"502 Bad Gateway" in error.body


def test_a_wrong_key_is_repeated_with_its_middle_masked() -> None:
    body = error_for(OPENAI, Fault.AUTH, key="sk-proj-0123456789abcdef").body
    assert b"sk-proj-************cdef" in body
    assert b"0123456789" not in body
    assert b"*****." in error_for(OPENAI, Fault.AUTH, key="short").body
