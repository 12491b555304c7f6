"""InvokeModel's request bodies (golden), vendor by vendor; refusals; counts."""

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import BedrockInvoke
from rxlapce.dialects.bedrock_prompts import PROMPTS
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, CompletionRequest, Image, Message, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.typing import TokenCounter

SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
TALK = ChatRequest(
    model="p/m",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="user", content="One?"),
        Message(role="assistant", content="Two."),
        Message(role="developer", content="In French."),
        Message(role="user", parts=(Part(text="Th"), Part(text="ree?", cache="5m"))),
    ),
)
PREFIX = replace(TALK, messages=(*TALK.messages[:2], Message(role="assistant", content="Tw")))
SETTINGS: dict[str, Any] = {"max_tokens": 9, "temperature": 0.0, "top_p": 0.5}

TITAN, LLAMA3, LLAMA4 = "amazon.titan-text-express-v1", "us.meta.llama3-3-70b-instruct-v1:0", "meta.llama4-scout-v1:0"
MISTRAL, MISTRAL_CHAT = "mistral.mistral-7b-instruct-v0:2", "mistral.mistral-large-2407-v1:0"
COMMAND_R, COMMAND, JURASSIC = "cohere.command-r-plus-v1:0", "cohere.command-text-v14", "ai21.j2-ultra-v1"
JAMBA, NOVA, CLAUDE = "ai21.jamba-1-5-large-v1:0", "amazon.nova-pro-v1:0", "us.anthropic.claude-sonnet-4-5-v1:0"


def body(request: ChatRequest, model: str, *, stream: bool = False) -> Any:
    return json.loads(BedrockInvoke().chat_body(request, model, stream=stream))


# -- a text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "wish", "said"),
    [
        (
            TITAN,
            {**SETTINGS, "stop": ("END",)},
            {
                "inputText": "Hi",
                "textGenerationConfig": {
                    "maxTokenCount": 9,
                    "temperature": 0.0,
                    "topP": 0.5,
                    "stopSequences": ["END"],
                },
            },
        ),
        (TITAN, {}, {"inputText": "Hi"}),
        (
            LLAMA3,
            SETTINGS,
            {
                "prompt": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n",
                "max_gen_len": 9,
                "temperature": 0.0,
                "top_p": 0.5,
            },
        ),
        (
            MISTRAL,
            {**SETTINGS, "top_k": 5, "stop": ("END",)},
            {
                "prompt": "<s>[INST] Hi [/INST]",
                "max_tokens": 9,
                "temperature": 0.0,
                "top_p": 0.5,
                "top_k": 5,
                "stop": ["END"],
            },
        ),
        (
            COMMAND_R,
            {
                **SETTINGS,
                "top_k": 5,
                "presence_penalty": 0.25,
                "frequency_penalty": 0.5,
                "seed": 7,
                "stop": ("END",),
                "n": 1,
            },
            {
                "message": "Hi",
                "max_tokens": 9,
                "temperature": 0.0,
                "p": 0.5,
                "k": 5,
                "presence_penalty": 0.25,
                "frequency_penalty": 0.5,
                "seed": 7,
                "stop_sequences": ["END"],
            },
        ),
        (
            COMMAND,
            {**SETTINGS, "top_k": 5, "stop": ("END",), "n": 2},
            {
                "prompt": "Hi",
                "max_tokens": 9,
                "temperature": 0.0,
                "p": 0.5,
                "k": 5,
                "stop_sequences": ["END"],
                "num_generations": 2,
            },
        ),
        (
            JURASSIC,
            {**SETTINGS, "stop": ("END",), "n": 2},
            {
                "prompt": "Hi",
                "maxTokens": 9,
                "temperature": 0.0,
                "topP": 0.5,
                "stopSequences": ["END"],
                "numResults": 2,
            },
        ),
    ],
)
def test_a_model_of_texts_gets_its_settings_under_its_own_names(model: str, wish: Any, said: Any) -> None:
    assert body(replace(SHORT, **wish), model) == said
    assert body(replace(SHORT, **wish, extra={"prompt": "x", "y": 1}), model) == {**said, "prompt": "x", "y": 1}


@pytest.mark.parametrize(
    ("model", "talk", "text"),
    [
        (
            TITAN,
            replace(TALK, messages=(TALK.messages[1], TALK.messages[2], TALK.messages[4])),
            "User: One?\nBot: Two.\nUser: Three?\nBot:",
        ),
        (TITAN, replace(PREFIX, messages=PREFIX.messages[1:]), "User: One?\nBot: Tw"),
        (
            LLAMA3,
            TALK,
            (
                "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\nTwo.<|eot_id|>"
                "<|start_header_id|>system<|end_header_id|>\n\nIn French.<|eot_id|>"
                "<|start_header_id|>user<|end_header_id|>\n\nThree?<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
        ),
        (
            LLAMA4,
            PREFIX,
            (
                "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe brief.<|eot|>"
                "<|header_start|>user<|header_end|>\n\nOne?<|eot|><|header_start|>assistant<|header_end|>\n\nTw"
            ),
        ),
        (MISTRAL, TALK, "<s>[INST] Be brief.\n\nIn French.\n\nOne? [/INST] Two.</s>[INST] Three? [/INST]"),
        (MISTRAL, PREFIX, "<s>[INST] Be brief.\n\nOne? [/INST] Tw"),
        (
            MISTRAL,
            replace(SHORT, messages=SHORT.messages * 2),
            "<s>[INST] Hi\n\nHi [/INST]",
        ),
    ],
)
def test_a_conversation_is_written_by_the_vendors_template(model: str, talk: ChatRequest, text: str) -> None:
    assert list(body(talk, model).values()) == [text]


def test_command_r_gets_a_message_with_its_history() -> None:
    assert body(TALK, COMMAND_R) == {
        "message": "Three?",
        "chat_history": [{"role": "USER", "message": "One?"}, {"role": "CHATBOT", "message": "Two."}],
        "preamble": "Be brief.\n\nIn French.",
    }


def test_only_command_is_told_in_its_body_whether_to_stream() -> None:
    assert body(SHORT, COMMAND, stream=True) == {"prompt": "Hi", "stream": True}
    for model in (TITAN, LLAMA3, MISTRAL, COMMAND_R, JURASSIC, JAMBA, NOVA, CLAUDE, MISTRAL_CHAT):
        assert body(SHORT, model, stream=True) == body(SHORT, model)


def test_a_completion_is_one_user_turn() -> None:
    completion = CompletionRequest(model="p/m", prompt="Hi", max_tokens=5, stop=("x",))
    assert body(completion.as_chat(), JURASSIC) == {"prompt": "Hi", "maxTokens": 5, "stopSequences": ["x"]}


# -- a conversation ---------------------------------------------------------------------------------------------------

TOOL = Tool(name="look", description="Looks.", parameters={"type": "object"})
FUNCTION = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}


def test_nova_takes_converses_conversation() -> None:
    request = replace(TALK, **SETTINGS, top_k=5, stop=("END",), tools=(TOOL,), tool_choice="required")
    assert body(request, NOVA) == {
        "schemaVersion": "messages-v1",
        "system": [{"text": "Be brief."}, {"text": "In French."}],
        "messages": [
            {"role": "user", "content": [{"text": "One?"}]},
            {"role": "assistant", "content": [{"text": "Two."}]},
            {"role": "user", "content": [{"text": "Th"}, {"text": "ree?"}, {"cachePoint": {"type": "default"}}]},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.0, "topP": 0.5, "topK": 5, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "look", "description": "Looks.", "inputSchema": {"json": {"type": "object"}}}}
            ],
            "toolChoice": {"any": {}},
        },
    }


def test_claude_is_asked_as_anthropic_does_without_the_model() -> None:
    assert body(replace(SHORT, max_tokens=5, top_k=3), CLAUDE) == {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "top_k": 3,
    }


@pytest.mark.parametrize(("choice", "word"), [("required", "any"), ("auto", "auto"), ("none", "none")])
def test_mistrals_later_models_take_messages(choice: str, word: str) -> None:
    assert body(replace(SHORT, **SETTINGS, tools=(TOOL,), tool_choice=choice), MISTRAL_CHAT) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "tools": [FUNCTION],
        "tool_choice": word,
    }


def test_jamba_speaks_chat_completions() -> None:
    assert body(replace(SHORT, **SETTINGS, n=2, stop=("END",), presence_penalty=1.0), JAMBA) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": ["END"],
        "n": 2,
        "presence_penalty": 1.0,
    }


# -- refusals ---------------------------------------------------------------------------------------------------------


def refusal(request: ChatRequest, model: str) -> str:
    with pytest.raises(ProviderError) as caught:
        body(request, model)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    return caught.value.message


@pytest.mark.parametrize("part", PROMPTS)
def test_a_model_of_texts_refuses_what_is_none(part: str) -> None:
    looked = Message(role="assistant", tool_calls=(RequestedCall(id="c", name="look", arguments="{}"),))
    pictured = Message(role="user", parts=(Part(image=Image(url="s3://bucket/a")),))
    thought = Message(role="assistant", parts=(Part(reasoning="Hm."),))
    assert "takes no tools: leave it out" in refusal(replace(SHORT, tools=(TOOL,)), part)
    assert "ask for it with Converse" in refusal(replace(SHORT, messages=(looked,)), part)
    result = Message(role="tool", content="a", tool_call_id="c")
    assert "ask for it with Converse" in refusal(replace(SHORT, messages=(result,)), part)
    assert "holds image: leave it out" in refusal(replace(SHORT, messages=(pictured,)), part)
    assert "holds reasoning: " in refusal(replace(SHORT, messages=(thought,)), part)
    assert "takes no response_format: leave it out" in refusal(replace(SHORT, response_format=ResponseFormat()), part)
    hour = Message(role="user", parts=(Part(text="Hi", cache="1h"),))
    assert "for an hour" in refusal(replace(SHORT, messages=(hour,)), part)


@pytest.mark.parametrize(
    ("model", "request_", "words"),
    [
        (LLAMA3, replace(SHORT, stop=("x",)), "Llama 3 takes no stop: leave it out"),
        (LLAMA4, replace(SHORT, top_k=1), "Llama 4 takes no top_k: leave it out"),
        (MISTRAL, replace(SHORT, messages=PREFIX.messages[2:]), "needs a user turn first"),
        (MISTRAL, replace(SHORT, messages=TALK.messages[:1]), "needs a user turn first"),
        (TITAN, TALK, "has no system turn: put its text into the user's"),
        (COMMAND, TALK, "send one user turn, or ask with Converse"),
        (JURASSIC, TALK, "send one user turn, or ask with Converse"),
        (COMMAND_R, PREFIX, "needs a user turn at the end"),
        (COMMAND_R, replace(SHORT, n=2), "one answer a request, not n=2: ask 2 times"),
        (MISTRAL_CHAT, replace(SHORT, seed=1), "Mistral takes no seed: leave it out"),
        (MISTRAL_CHAT, replace(SHORT, tools=(TOOL,), tool_choice="look"), "cannot be made to call 'look'"),
        (JAMBA, replace(SHORT, seed=1), "Jamba takes no seed: leave it out"),
        (NOVA, replace(SHORT, reasoning_effort="low"), "Nova on InvokeModel takes no reasoning_effort: leave it out"),
        (NOVA, replace(SHORT, temperature=1.5), "Nova on InvokeModel takes a temperature from 0 to 1, not 1.5"),
        (CLAUDE, replace(SHORT, seed=1), "no seed: leave it out"),
    ],
)
def test_what_a_vendor_has_no_word_for_is_refused(model: str, request_: ChatRequest, words: str) -> None:
    assert words in refusal(request_, model)


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        (LLAMA3, "<|eot_id|>"),
        (LLAMA3, "<|start_header_id|>"),
        (LLAMA4, "<|eot|>"),
        (MISTRAL, "[/INST]"),
        (MISTRAL, "</s>"),
    ],
)
def test_a_turn_cannot_end_itself_and_speak_for_another(model: str, mark: str) -> None:
    for role in ("system", "user", "assistant"):
        turn = Message(role=role, content=f"Hi{mark} and")
        request = replace(SHORT, messages=(*SHORT.messages, turn))
        assert f"a turn holds {mark}, which" in refusal(request, model)


# -- counting ---------------------------------------------------------------------------------------------------------


def test_the_body_itself_is_counted() -> None:
    counter: TokenCounter = BedrockInvoke()
    asked = json.loads(counter.count_body(SHORT, CLAUDE))
    inner = asked["input"]["invokeModel"].pop("body")
    assert asked == {"input": {"invokeModel": {}}}
    assert json.loads(b64decode(inner)) == body(SHORT, CLAUDE)
    assert counter.read_count(b'{"inputTokens": 31}') == 31
    with pytest.raises(ProviderError, match="no count of tokens in inputTokens"):
        counter.read_count(b'{"totalTokens": 31}')
