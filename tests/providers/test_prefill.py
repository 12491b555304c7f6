"""Which APIs an answer that broke off can be asked on by, and how: a table over every provider."""

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.dialects.bedrock_invoke import BedrockInvoke
from rxlapce.dialects.bedrock_prompts import PROMPTS
from rxlapce.errors import ProviderError
from rxlapce.providers.prefill import claude_accepts_prefill
from rxlapce.requests import ChatRequest, Message

#: Models by the names that they have at each provider: a Claude that goes on, one that does not, and another vendor's.
CLAUDES = {
    "anthropic": ("claude-sonnet-4-5-20250929", "claude-opus-4-6"),
    "bedrock": ("us.anthropic.claude-sonnet-4-20250514-v1:0", "global.anthropic.claude-sonnet-4-6"),
    "vertex": ("claude-opus-4-5@20251101", "claude-opus-4-6@20260205"),
    "openrouter": ("anthropic/claude-3.5-sonnet", "anthropic/claude-opus-4.6"),
}
#: (provider, API) -> does the earlier Claude go on with an assistant's turn, does the API go on from a text.
FACTS = {
    ("anthropic", "messages"): (True, False),
    ("azure", "chat_completions"): (False, False),
    ("azure", "completions"): (False, True),
    ("azure", "responses"): (False, False),
    ("bedrock", "converse"): (True, False),
    ("bedrock", "invoke"): (True, False),
    ("gemini", "generate_content"): (False, False),
    ("gemini", "generate_content_array"): (False, False),
    ("local", "chat_completions"): (False, False),
    ("local", "completions"): (False, True),
    ("local", "ollama"): (False, False),
    ("local", "responses"): (False, False),
    ("openai", "chat_completions"): (False, False),
    ("openai", "completions"): (False, True),
    ("openai", "responses"): (False, False),
    ("openrouter", "chat_completions"): (False, False),
    ("openrouter", "responses"): (False, False),
    ("vertex", "generate_content"): (False, False),
    ("vertex", "generate_content_array"): (False, False),
    ("vertex", "messages"): (True, False),
    ("xai", "chat_completions"): (False, False),
    ("xai", "completions"): (False, True),
    ("xai", "responses"): (False, False),
}


def test_of_every_api_it_is_known_how_it_goes_on() -> None:
    providers = load_provider_configs_from_env(simulated_environ("http://127.0.0.1:9"))
    seen: dict[tuple[str, str], tuple[bool, bool]] = {}
    for provider in providers.values():
        earlier, later = CLAUDES.get(provider.name, CLAUDES["anthropic"])
        for name, api in provider.apis.items():
            assert not api.accepts_prefill(later)
            assert not api.accepts_prefill("gpt-5")
            seen[provider.name, name] = (api.accepts_prefill(earlier), api.continues_prompt)
    assert seen == FACTS


@pytest.mark.parametrize(
    ("model", "goes_on"),
    [
        ("claude-2.1", True),
        ("claude-instant-1.2", True),
        ("anthropic.claude-v2:1", True),
        ("claude-3-opus-latest", True),
        ("claude-3-7-sonnet-20250219", True),
        ("claude-3-5-haiku@20241022", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-0", True),
        ("claude-opus-4-1-20250805", True),
        ("publishers/anthropic/models/claude-haiku-4-5@20251001", True),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("claude-opus-4-6", False),
        ("claude-opus-4-6-20260205", False),
        ("us.anthropic.claude-opus-4-6-v1", False),
        ("claude-sonnet-4-6", False),
        ("claude-opus-4-10", False),
        ("claude-sonnet-5", False),
        ("claude-opus-5-5", False),
        ("claude-something-new", False),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", False),
        ("gpt-4-1", False),
        ("", False),
    ],
)
def test_a_claude_goes_on_with_an_assistants_turn_before_4_6(model: str, goes_on: bool) -> None:
    assert claude_accepts_prefill(model) is goes_on


@pytest.mark.parametrize("part", PROMPTS)
def test_a_model_on_bedrock_that_takes_a_text_goes_on_if_its_template_leaves_the_turn_open(part: str) -> None:
    bedrock = load_provider_configs_from_env(simulated_environ("http://127.0.0.1:9"))["bedrock"]
    turns = (Message(role="user", content="Count."), Message(role="assistant", content="One, two"))
    try:
        body = BedrockInvoke().chat_body(ChatRequest(model="bedrock/m", messages=turns), part, stream=True)
    except ProviderError:
        left_open = False
    else:
        members = msgspec.json.decode(body, type=dict[str, object])
        left_open = str(members.get("prompt", members.get("inputText"))).endswith("One, two")
    assert bedrock.apis["invoke"].accepts_prefill(f"{part}-v1:0") is left_open
    assert not bedrock.apis["converse"].accepts_prefill(f"{part}-v1:0")
