"""Recorded streams of real providers come out as their official SDKs read them.

The recordings are not part of the project: they are looked for in $RXLAPCE_STREAMS, then in `../shared/streams` beside
the repository. Run as a script, this prints the agreement by provider and API.
"""

import json
import os
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import reactivex

from rxlapce.answer import Answer, AnswerBuilder, Choice
from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS, Format
from rxlapce.tokens import Finish, Opaque, Reasoning, StreamToken
from rxlapce.typing import StreamDecoder

REPOSITORY = Path(__file__).resolve().parents[2]
STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or REPOSITORY.parent / "shared" / "streams")
MANIFEST = STREAMS / "manifest.json"
#: Bodies up to this many bytes are also fed byte by byte, longer ones in pieces of 7 bytes, to stay quick.
BYTEWISE = 20_000

#: What is digested of a signature: Google's SDK decodes it, Anthropic's leaves it as it is.
DIGESTS: dict[str, Callable[[str], bytes]] = {
    "thought_signature_sha256_16": b64decode,
    "thinking_signature_sha256_16": str.encode,
}

Entry = dict[str, Any]


def entries() -> list[Entry]:
    if not MANIFEST.is_file():
        return []
    return [entry for entry in json.loads(MANIFEST.read_bytes()) if entry["api"] in APIS]


ENTRIES = entries()

pytestmark = pytest.mark.skipif(not ENTRIES, reason="no recorded streams: set RXLAPCE_STREAMS to their folder")

#: Where we rightly say something else than the SDK, field by field: what we say, and why.
DIFFERENT: dict[str, dict[str, Any]] = {
    "anthropic/messages-truncated-reasoning-claude-sonnet-4.sse": {"error": ErrorKind.TRUNCATED},  # SDK ends silently
    "openai/chat-truncated-tool-gpt-4o.sse": {"error": ErrorKind.TRUNCATED},  # SDK ends silently
    # llama.cpp reports its failure in a line `error: {...}`, a field that event streams do not have: it is dropped, and
    # the stream is cut. The SDK ends silently.
    "openai-compatible/chat-reasoning-long-qwen3.sse": {"error": ErrorKind.TRUNCATED},
    # The chunk with the error carries the usage, which the SDK throws away; the finish word before it is no end.
    "openrouter/chat-mid-stream-error-reasoning-length-minimax-m2-free.sse": {
        "finish_reason": None,
        "usage": {
            "input_tokens": 43,
            "output_tokens": 10,
            "total_tokens": 53,
            "cached_input_tokens": 0,
            "reasoning_tokens": 11,
        },
    },
    # The SDK raises before it keeps the first event's model.
    "openai/responses-mid-stream-error.sse": {"model": "gpt-5-nano-2025-08-07"},
    # Neither a finishReason nor a block reason ends these. The SDK ends silently.
    "vertex/sse-empty-gemini.sse": {"error": ErrorKind.TRUNCATED},
    "vertex/sse-text-gemini-4.sse": {"error": ErrorKind.TRUNCATED},
    # An error ends the answer, although the chunks before it have a finishReason: it is no finish.
    "vertex/sse-mid-stream-error-gemini.sse": {"finish_reason": None},
    # The stream breaks inside the arguments: the SDK drops the unfinished member, we keep what was said.
    "anthropic/messages-mid-stream-error-tool-claude-3-opus.sse": {
        "tool_calls": [{"id": "toolu_01DYJo37oETVsCdLTTcCWcdq", "name": "get_weather", "arguments": '{"location": "Sa'}]
    },
}


@dataclass
class Outcome:
    answer: Answer
    error: ProviderError | None
    ends: int
    tokens: list[StreamToken]


class Kept:
    """The dialect's decoder, kept in hand for the model of a stream that breaks off."""

    def __init__(self, api: Format) -> None:
        self.decoding = api.dialect().decoder()

    def decoder(self) -> StreamDecoder[Event]:
        return self.decoding


def run(entry: Entry, piece_bytes: int | None = None) -> Outcome:
    """The body through the operators, whole or in pieces."""
    body = (STREAMS / entry["file"]).read_bytes()
    api = APIS[entry["api"]]
    builder, tokens = AnswerBuilder(), list[StreamToken]()
    errors, completions = list[Exception](), list[None]()
    if entry["status"] >= 400:
        errors.append(api.dialect().read_error(entry["status"], {}, body))
    else:
        size = piece_bytes or len(body)
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        kept = Kept(api)
        stream = reactivex.from_iterable(pieces).pipe(api.framing.decode(), token_map(kept))
        stream.subscribe(tokens.append, errors.append, lambda: completions.append(None))
        builder.model = kept.decoding.model
    for token in tokens:
        builder.add(token)
    error = errors[0] if errors else None
    assert error is None or isinstance(error, ProviderError)
    return Outcome(builder.answer(), error, len(errors) + len(completions), tokens)


def choice_fields(choice: Choice) -> dict[str, Any]:
    return {
        "text": choice.text,
        "reasoning": choice.reasoning,
        "refusal": choice.refusal,
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in choice.tool_calls],
        "finish_reason": choice.finish_raw,
    }


def expected_choice(expected: Entry) -> dict[str, Any]:
    blank: Entry = {"reasoning": "", "refusal": None, "tool_calls": []}  # which legacy completions have not
    expected = {**blank, **expected}
    fields = {name: expected[name] for name in ("text", "reasoning", "refusal", "finish_reason")}
    calls = [{name: call[name] for name in ("id", "name", "arguments")} for call in expected["tool_calls"]]
    legacy = expected.get("function_call")
    if legacy:
        calls.append({"id": None, **legacy})
    return {**fields, "tool_calls": calls}


def signatures(tokens: list[StreamToken]) -> list[str]:
    """All signatures that the tokens carry, in order."""
    found = list[str]()
    for token in tokens:
        if isinstance(token, Reasoning) and token.signature:
            found.append(token.signature)
        elif isinstance(token, Opaque):
            said = json.loads(token.raw)
            found += [said["thoughtSignature"]] if isinstance(said, dict) and "thoughtSignature" in said else []
    return found


def as_values(fields: dict[str, Any]) -> dict[str, Any]:
    """Tool arguments as JSON values, where the SDK wrote them anew."""
    calls = [{**call, "arguments": json.loads(call["arguments"])} for call in fields["tool_calls"]]
    return {**fields, "tool_calls": calls}


def differences(entry: Entry, outcome: Outcome) -> dict[str, tuple[Any, Any]]:
    """Field -> (ours, the one that is expected), for all that differ."""
    expected, answer = entry["expected"], outcome.answer
    allowed = DIFFERENT.get(entry["file"], {})
    ours, theirs = choice_fields(answer.choices[0]), {**expected_choice(expected)}
    theirs.update({name: value for name, value in allowed.items() if name in theirs})
    if entry.get("tool_calls_are") == "fragments":
        theirs["tool_calls"] = [call["name"] for call in theirs["tool_calls"] if call["name"] is not None]
        ours["tool_calls"] = [call["name"] for call in as_values(ours)["tool_calls"]]
    elif expected.get("arguments_are") and "tool_calls" not in allowed:
        ours, theirs = as_values(ours), as_values(theirs)
    usage: dict[str, int] = msgspec.to_builtins(answer.usage.reported) if answer.usage else {}
    ours.update(usage=usage, model=answer.model, error=outcome.error is not None)
    theirs.update(
        usage=allowed.get("usage", expected["usage"] or {}),
        model=allowed.get("model", expected.get("model")),
        error="error" in allowed or expected["error"] is not None,
    )
    if "error" in allowed and outcome.error is not None:
        ours["kind"], theirs["kind"] = outcome.error.kind, allowed["error"]
    for name, encode in DIGESTS.items():
        if name in expected:
            ours[name] = [sha256(encode(text)).hexdigest()[:16] for text in signatures(outcome.tokens)]
            theirs[name] = expected[name]
    if "choices" in expected:
        ours["choices"] = [choice_fields(choice) for choice in answer.choices]
        theirs["choices"] = [expected_choice(choice) for choice in expected["choices"]]
    return {name: (ours[name], theirs[name]) for name in theirs if ours[name] != theirs[name]}


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["file"] for entry in ENTRIES])
def test_recording_comes_out_as_expected_however_it_is_cut(entry: Entry) -> None:
    outcome = run(entry)
    assert outcome.ends == 1
    assert sum(isinstance(token, Finish) for token in outcome.tokens) == (outcome.error is None)
    if entry.get("check") != "robustness":
        assert differences(entry, outcome) == {}
    in_pieces = run(entry, 1 if entry["bytes"] <= BYTEWISE else 7)
    assert in_pieces.tokens == outcome.tokens
    assert str(in_pieces.error) == str(outcome.error)


def test_every_known_difference_is_of_a_recording_that_exists() -> None:
    assert set(DIFFERENT) <= {entry["file"] for entry in ENTRIES}


VERDICTS = ("agrees", "known", "no guide", "differs")


def verdict(entry: Entry) -> str:
    """Agrees with its SDK, differs for a reason that is written above, has an SDK that is no guide, or differs."""
    if entry.get("check") == "robustness":
        return "no guide"
    if differences(entry, run(entry)):
        return "differs"
    return "known" if entry["file"] in DIFFERENT else "agrees"


def agreement() -> str:
    """A table of how many recordings of the whole manifest come out how, by provider and API."""
    everything: list[Entry] = json.loads(MANIFEST.read_bytes()) if ENTRIES else []
    counts = Counter(
        (entry["provider"], entry["api"], verdict(entry) if entry["api"] in APIS else "not read")
        for entry in everything
    )
    columns = (*VERDICTS, "not read")
    lines = [f"{'provider':18} {'api':42}" + "".join(f"{name:>9}" for name in columns)]
    for provider, api in sorted({(provider, api) for provider, api, _ in counts}):
        lines.append(f"{provider:18} {api:42}" + "".join(f"{counts[provider, api, name]:9}" for name in columns))
    lines.append(f"{'all':61}" + "".join(f"{sum(n for key, n in counts.items() if key[2] == c):9}" for c in columns))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(agreement() + "\n")
