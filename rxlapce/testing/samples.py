"""Events in the shapes of each API, made up, with every rare member that its decoder reads: where mutations begin.

`SAMPLES` has a list of (event name, value) by API; a string stands for itself and is no JSON.
"""

import base64
import json
from typing import Any, Final

Sample = tuple[str, Any]
_Json = dict[str, Any]

_CHAT_USAGE: Final[_Json] = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
    "cost": 0.25,
    "cost_in_usd_ticks": 7,
    "cached_tokens": 1,
    "prompt_cache_hit_tokens": 1,
    "cache_read_input_tokens": 1,
    "cache_creation_input_tokens": 1,
    "reasoning_tokens": 3,
}
_PROBLEM: Final[_Json] = {
    "message": "upstream failed",
    "type": "server_error",
    "code": 502,
    "status": "503",
    "details": {"error_code": "OVERLOADED"},
    "innererror": {"code": "ResponsibleAIPolicyViolation"},
    "metadata": {"raw": '{"error":{"message":"slow down","code":"slow_down"}}', "provider_name": "X", "reasons": ["r"]},
}
_DETAILED: Final[list[_Json]] = [
    {"type": "reasoning.text", "text": "so", "signature": "c2ln"},
    {"type": "reasoning.summary", "summary": "in short"},
    {"type": "reasoning.encrypted", "data": "x"},
]


def _choice(delta: dict[str, Any], **besides: Any) -> Sample:
    return "", {"model": "m", "choices": [{"index": 0, "delta": delta, **besides}]}


_CHAT: Final[list[Sample]] = [
    ("", {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]}),
    _choice({"role": "assistant", "content": ""}),
    _choice({"reasoning_content": "hm", "reasoning_details": _DETAILED}),
    _choice({"content": "Hi"}),
    _choice({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"text": "b"}]}]}),
    _choice({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]}),
    _choice({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}, {"id": "d", "custom": {"name": "g"}}]}),
    _choice({"function_call": {"name": "h", "arguments": "{}"}, "refusal": "no"}),
    _choice({"annotations": [{"url": "u"}], "audio": {"data": "x"}, "images": [1], "novel": {"deep": [1]}}),
    _choice({}, finish_reason="tool_calls", logprobs={"content": [{}]}, usage=_CHAT_USAGE),
    ("", {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop", "error": _PROBLEM}]}),
    ("", {"choices": [], "usage": _CHAT_USAGE, "citations": ["u"], "search_results": [{"u": 1}], "x_groq": {"id": 1}}),
    ("error", {"error": _PROBLEM}),
    ("", "[DONE]"),
]
_COMPLETIONS: Final[list[Sample]] = [
    (
        "",
        {"model": "m", "choices": [{"text": "Hi", "index": 0, "logprobs": {"tokens": ["H"]}, "finish_reason": None}]},
    ),
    ("", {"choices": [{"text": " you", "index": 1, "content_filter_results": {"hate": {"filtered": False}}}]}),
    ("", {"choices": [{"text": "", "index": 0, "finish_reason": "length"}], "usage": _CHAT_USAGE}),
    ("", {"object": "novelty", "error": None}),
    ("", {"object": "error", **_PROBLEM}),
    ("", "[DONE]"),
]
_CLAUDE_USAGE: Final[_Json] = {
    "input_tokens": 7,
    "output_tokens": 5,
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 2,
    "output_tokens_details": {"thinking_tokens": 3},
}
_BLOCKS: Final[list[_Json]] = [
    {"type": "text", "text": "T", "citations": [{"cited_text": "c"}]},
    {"type": "thinking", "thinking": "t", "signature": "s"},
    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
    {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {"q": "x"}},
    {"type": "redacted_thinking", "data": "x"},
]
_DELTAS: Final[list[_Json]] = [
    {"type": "text_delta", "text": "ext"},
    {"type": "thinking_delta", "thinking": "hm"},
    {"type": "input_json_delta", "partial_json": '{"a":1}'},
    {"type": "signature_delta", "signature": "c2ln"},
    {"type": "citations_delta", "citation": {"url": "u"}},
]


def _said(kind: str, **members: Any) -> Sample:
    return kind, {"type": kind, **members}


def _blocks() -> list[Sample]:
    events: list[Sample] = []
    for index, (block, delta) in enumerate(zip(_BLOCKS, _DELTAS, strict=True)):
        events.append(_said("content_block_start", index=index, content_block=block))
        events.append(_said("content_block_delta", index=index, delta=delta))
        events.append(_said("content_block_stop", index=index))
    return events


_STOPPED: Final[_Json] = {
    "stop_reason": "tool_use",
    "stop_sequence": "END",
    "stop_details": {"a": 1},
    "container": {"id": 1},
}
_MESSAGES: Final[list[Sample]] = [
    _said("message_start", message={"model": "m", "content": [], "usage": _CLAUDE_USAGE}),
    _said("ping"),
    *_blocks(),
    _said("message_delta", delta=_STOPPED, usage=_CLAUDE_USAGE, context_management={"applied_edits": [{"a": 1}]}),
    _said("message_stop", **{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 5}}),
    _said("error", error=_PROBLEM),
]
_COMPLETE: Final[list[Sample]] = [
    ("completion", {"type": "completion", "completion": "Hi", "stop_reason": None, "model": "m"}),
    ("ping", {"type": "ping"}),
    ("novelty", {"type": "novelty", "a": 1}),
    ("completion", {"completion": "", "stop_reason": "stop_sequence", "stop": "END", "log_id": "x"}),
    ("error", {"error": _PROBLEM}),
]
_RESPONSE_USAGE: Final[_Json] = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 15,
    "cost": 0.25,
    "cost_in_usd_ticks": 7,
}
_TOLD: Final[_Json] = {"type": "output_text", "text": "Hi", "annotations": [{"url": "u"}], "logprobs": [1]}
_MESSAGE: Final[_Json] = {
    "id": "i0",
    "type": "message",
    "content": [_TOLD, {"type": "refusal", "refusal": "no"}],
}
_THOUGHT: Final[_Json] = {
    "id": "i1",
    "type": "reasoning",
    "summary": [{"text": "s"}],
    "encrypted_content": "x",
}
_CALL: Final[_Json] = {
    "id": "i2",
    "type": "function_call",
    "call_id": "c",
    "name": "f",
    "arguments": '{"a":1}',
    "caller": {},
}
_CUSTOM: Final[_Json] = {"id": "i3", "type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"}
_SEARCH: Final[_Json] = {"id": "i4", "type": "web_search_call", "action": {"q": "x"}}
_ITEMS: Final[list[_Json]] = [_MESSAGE, _THOUGHT, _CALL, _CUSTOM, _SEARCH]


def _response(status: str, **members: Any) -> dict[str, Any]:
    return {"model": "m", "status": status, "usage": _RESPONSE_USAGE, "output": _ITEMS, **members}


_RESPONSES: Final[list[Sample]] = [
    _said("response.created", response=_response("in_progress", output=[])),
    *(_said("response.output_item.added", output_index=i, item=item) for i, item in enumerate(_ITEMS)),
    _said("response.output_text.delta", output_index=0, item_id="i0", delta="Hi", logprobs=[1]),
    _said("response.output_text.annotation.added", output_index=0, annotation={"url": "u"}),
    _said("response.refusal.delta", output_index=0, delta="no"),
    _said("response.reasoning_summary_text.delta", output_index=1, delta="s"),
    _said("response.function_call_arguments.delta", output_index=2, item_id="i2", delta='{"a":1}'),
    _said("response.function_call_arguments.done", output_index=2, item_id="i2", arguments='{"a":1}'),
    _said("response.custom_tool_call_input.done", output_index=3, item_id="i3", input="x"),
    *(_said("response.output_item.done", output_index=i, item=item) for i, item in enumerate(_ITEMS)),
    _said("response.novelty", deep=[1]),
    _said("response.completed", response=_response("completed")),
    _said("response.incomplete", response=_response("incomplete", incomplete_details={"reason": "content_filter"})),
    _said("response.failed", response=_response("failed", error=_PROBLEM)),
    _said("error", **_PROBLEM),
]
_GOOGLE_USAGE: Final[_Json] = {
    "promptTokenCount": 7,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "toolUsePromptTokenCount": 1,
    "cachedContentTokenCount": 2,
    "totalTokenCount": 16,
}
_PARTIAL: Final[list[_Json]] = [
    {"jsonPath": "$.list[0].name", "stringValue": "Bos", "willContinue": True},
    {"jsonPath": "$.list[0].name", "stringValue": "ton"},
    {"jsonPath": "$['n']", "numberValue": 1.5},
]
_PARTS: Final[list[_Json]] = [
    {"text": "Hi"},
    {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
    {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
    {"functionCall": {"name": "g", "partialArgs": _PARTIAL, "willContinue": True}},
    {"functionCall": {"willContinue": False}},
    {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "partMetadata": {"a": 1}},
]
_GROUNDED: Final[_Json] = {
    "groundingMetadata": {"a": [1]},
    "citationMetadata": {"b": 1},
    "safetyRatings": [{"blocked": True}],
}
_GOOGLE_PROBLEM: Final[_Json] = {
    "code": 429,
    "message": "quota",
    "status": "RESOURCE_EXHAUSTED",
    "details": [
        {"retryDelay": "46s"},
        {"violations": [{"quotaId": "PerDay", "quotaValue": "0", "description": "d"}], "reason": "API_KEY_INVALID"},
    ],
}
_GENERATE: Final[list[Sample]] = [
    *(
        ("", {"candidates": [{"index": 0, "content": {"parts": [part]}}], "modelVersion": "m", "usageMetadata": {}})
        for part in (*_PARTS, {"text": "there"})
    ),
    ("", {"candidates": [{"index": 1, "content": {"parts": _PARTS}, **_GROUNDED, "finishReason": "STOP"}]}),
    ("", {"candidates": [{"index": 0, "finishReason": 2}], "usageMetadata": _GOOGLE_USAGE, "responseId": "r"}),
    ("", {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [{"blocked": True}]}}),
    ("", {"error": _GOOGLE_PROBLEM}),
]
_CONVERSE_USAGE: Final[_Json] = {
    "inputTokens": 7,
    "outputTokens": 5,
    "totalTokens": 12,
    "cacheReadInputTokens": 2,
    "cacheWriteInputTokens": 1,
    "cacheReadInputTokenCount": 2,
    "cacheWriteInputTokenCount": 1,
}
_CONVERSE_DELTAS: Final[list[_Json]] = [
    {"text": "Hi"},
    {"toolUse": {"input": '{"a":1}'}},
    {"reasoningContent": {"text": "hm"}},
    {"reasoningContent": {"signature": "s", "redactedContent": "x"}},
    {"citation": {"title": "t"}},
]
_CONVERSE: Final[list[Sample]] = [
    ("messageStart", {"role": "assistant", "p": "abc"}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f", "type": "x"}}}),
    *(("contentBlockDelta", {"contentBlockIndex": 1, "delta": delta}) for delta in _CONVERSE_DELTAS),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("novelty", {"a": [1]}),
    ("messageStop", {"stopReason": "tool_use", "additionalModelResponseFields": {"a": 1}}),
    ("metadata", {"usage": _CONVERSE_USAGE, "metrics": {"latencyMs": 5}, "trace": {"guardrail": {"a": 1}}}),
    ("exception/throttlingException", {"message": "slow", "originalStatusCode": 429, "originalMessage": "m"}),
    ("error/InternalFailure", ""),
]
_METRICS: Final[_Json] = {
    "amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 5, "cacheReadInputTokenCount": 1},
    "amazon-bedrock-guardrailAction": "INTERVENED",
    "amazon-bedrock-trace": {"a": 1},
}
_TEXTS: Final[list[_Json]] = [
    {"outputText": "Hi", "completionReason": "FINISH", "inputTextTokenCount": 7.0, "totalOutputTextTokenCount": 5},
    {"results": [{"outputText": "Hi", "completionReason": "LENGTH", "tokenCount": 5}]},
    {"generation": "Hi", "stop_reason": "stop", "prompt_token_count": 7, "generation_token_count": 5},
    {"outputs": [{"text": "Hi", "stop_reason": "stop"}]},
    {"choices": [{"message": {"content": "Hi"}, "stop_reason": "stop", "text": "x"}]},
    {"completion": "Hi", "stop_reason": "stop_sequence"},
    {"completions": [{"data": {"text": "Hi"}, "finishReason": {"reason": "endoftext"}}]},
    {"is_finished": False, "event_type": "tool-calls-generation", "tool_calls": [{"name": "f", "parameters": {}}]},
    {"generations": [{"text": "Hi", "finish_reason": "ERROR"}], "response_id": "r", "event_type": "citation"},
]


def chunk(payload: Any) -> dict[str, str]:
    """The payload of a message of type chunk, with the vendor's own payload inside."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {"bytes": base64.b64encode(text).decode()}


_INVOKE: Final[list[Sample]] = [
    *(("chunk", chunk(value)) for _, value in _MESSAGES[:5]),
    *(("chunk", chunk({name: value})) for name, value in _CONVERSE[:4]),
    *(("chunk", chunk(value)) for _, value in _CHAT[1:4]),
    *(("chunk", chunk(value)) for value in _TEXTS),
    ("novelty", {"a": 1}),
    ("chunk", chunk({**_TEXTS[0], **_METRICS})),
    *_CONVERSE[-2:],
]

_OLLAMA: Final[list[Sample]] = [
    ("", {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False}),
    (
        "",
        {"model": "m", "message": {"content": "Hi", "images": ["eA=="]}, "done": False, "logprobs": [{"token": "Hi"}]},
    ),
    ("", {"message": {"tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}]}}),
    ("", {"novel": {"a": [1]}}),
    ("", {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 5}),
    ("", {"error": _PROBLEM}),
]
#: For an API that has no samples yet.
UNKNOWN: Final[list[Sample]] = [("", {"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": True})]
#: The Google dialect speaks the same in two framings.
SAMPLES: Final[dict[str, list[Sample]]] = {
    "openai.chat.completions": _CHAT,
    "openai.responses": _RESPONSES,
    "openai.completions": _COMPLETIONS,
    "anthropic.messages": _MESSAGES,
    "anthropic.complete": _COMPLETE,
    "gemini.streamGenerateContent?alt=sse": _GENERATE,
    "gemini.streamGenerateContent (JSON array)": _GENERATE,
    "ollama.chat": _OLLAMA,
    "bedrock.converse-stream": _CONVERSE,
    "bedrock.invoke-with-response-stream": _INVOKE,
}
#: Whole bodies of unary answers, beside those that have the shape of an event.
UNARY: Final[dict[str, list[Any]]] = {
    "openai.chat.completions": [
        {"choices": [{"index": 0, "message": {"content": "Hi", "tool_calls": []}}], "usage": _CHAT_USAGE}
    ],
    "openai.responses": [_response("completed")],
    "anthropic.messages": [{"model": "m", "content": _BLOCKS, "usage": _CLAUDE_USAGE, **_STOPPED}],
    "bedrock.converse-stream": [
        {
            "output": {
                "message": {
                    "content": [
                        {"text": "Hi"},
                        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                        {"citationsContent": {"content": [{"text": "c"}], "citations": [{}]}},
                    ]
                }
            },
            "stopReason": "end_turn",
            "usage": _CONVERSE_USAGE,
            "trace": {"a": 1},
        }
    ],
    "bedrock.invoke-with-response-stream": _TEXTS,
}
