"""`rxlapce decode` from its arguments to its lines and exit codes."""

import json
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from click.testing import CliRunner, Result

from rxlapce.cli.decode import decode

CHAT = ("--provider", "openai", "--api", "openai.chat.completions")
MESSAGES = ("--provider", "anthropic", "--api", "anthropic.messages")


def chunks(*values: Any, done: bool = True) -> bytes:
    lines = [json.dumps(value, ensure_ascii=False) for value in values]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])]).encode()


def delta(content: str, finish: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return {"model": "gpt-x", "choices": [choice], **members}


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}
WHOLE = chunks(delta("Grüße "), delta("🎉", "stop"), {"choices": [], "usage": USAGE})
CUT = chunks(delta("Hel"), done=False)


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(decode, arguments, input=stdin)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def whole(tmp_path: Path) -> str:
    path = tmp_path / "whole.sse"
    path.write_bytes(WHOLE)
    return str(path)


@pytest.fixture
def cut(tmp_path: Path) -> str:
    path = tmp_path / "cut.sse"
    path.write_bytes(CUT)
    return str(path)


def expected(file: str) -> dict[str, Any]:
    return {
        "file": file,
        "text": "Grüße 🎉",
        "reasoning": "",
        "refusal": None,
        "tool_calls": [],
        "finish": {"kind": "stop", "raw": "stop"},
        "usage": {
            "input": 3,
            "cached_input": 0,
            "cache_write": None,
            "output": 2,
            "reasoning": None,
            "total": 5,
            "cost_usd": None,
            "source": "provider",
        },
        "reported_usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cached_input_tokens": 0},
        "model": "gpt-x",
        "tokens": 4,
        "error": None,
        "complete": True,
    }


def test_a_whole_answer_is_one_line_and_exit_0(whole: str) -> None:
    result = run(*CHAT, whole)
    assert lines(result) == [expected(whole)]
    assert result.exit_code == 0


@pytest.mark.parametrize("size", ["1", "2", "3", "7", "64"])
def test_the_size_of_the_pieces_changes_nothing(whole: str, size: str) -> None:
    assert run(*CHAT, "--chunk-bytes", size, whole).stdout == run(*CHAT, whole).stdout


def test_a_cut_stream_gives_what_had_arrived_and_exit_1(cut: str) -> None:
    result = run(*CHAT, cut)
    (line,) = lines(result)
    assert (line["text"], line["finish"], line["model"], line["complete"]) == ("Hel", None, "gpt-x", False)
    assert (line["error"]["kind"], line["error"]["retry"], line["error"]["phase"]) == ("truncated", "same", "flow")
    assert set(line["error"]) == {"kind", "retry", "phase", "status", "message", "raw"}
    assert result.exit_code == 1


def test_several_files_give_a_line_each_in_order_and_one_exit_code(whole: str, cut: str) -> None:
    result = run(*CHAT, cut, whole)
    assert [(line["file"], line["complete"]) for line in lines(result)] == [(cut, False), (whole, True)]
    assert result.exit_code == 1


def test_standard_input() -> None:
    assert lines(run(*CHAT, "-", stdin=WHOLE)) == [expected("-")]


def test_several_choices_stand_beside_the_first(tmp_path: Path) -> None:
    path = tmp_path / "n.sse"
    path.write_bytes(chunks(delta("a", "stop"), delta("b", "length", index=1)))
    (line,) = lines(run(*CHAT, str(path)))
    assert line["text"] == "a"
    assert [(choice["index"], choice["text"], choice["finish"]) for choice in line["choices"]] == [
        (0, "a", {"kind": "stop", "raw": "stop"}),
        (1, "b", {"kind": "length", "raw": "length"}),
    ]


def test_an_error_inside_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "error.sse"
    path.write_bytes(chunks(delta("Hel"), {"error": {"message": "Overloaded", "code": 503}}))
    result = run(*CHAT, str(path))
    (line,) = lines(result)
    assert (line["text"], line["error"]["kind"], line["error"]["message"]) == ("Hel", "overloaded", "Overloaded")
    assert result.exit_code == 1


def test_an_http_error_is_read_from_any_body(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<title>Slow down</title>")
    result = run(*MESSAGES, "--status", "429", "--content-type", "text/html", str(path))
    (line,) = lines(result)
    error = line["error"]
    assert (error["kind"], error["phase"], error["status"]) == ("rate_limit", "headers", 429)
    assert result.exit_code == 1


def test_a_json_file_is_a_unary_answer(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    answer = {"model": "claude-x", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    path.write_bytes(json.dumps(answer).encode())
    result = run(*MESSAGES, str(path))
    (line,) = lines(result)
    assert (line["text"], line["finish"], line["usage"]) == ("Hi", {"kind": "stop", "raw": "end_turn"}, None)
    assert result.exit_code == 0


def test_a_json_body_with_an_error_under_200(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_bytes(b'{"error":{"code":402,"message":"pay"}}')
    result = run(*CHAT, str(path))
    assert lines(result)[0]["error"]["kind"] == "billing"
    assert result.exit_code == 1


def test_content_type_wins_over_the_files_ending(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    path.write_bytes(WHOLE)
    assert lines(run(*CHAT, "--content-type", "text/event-stream; charset=utf-8", str(path))) == [expected(str(path))]


def test_events_stop_after_the_framing(tmp_path: Path) -> None:
    path = tmp_path / "raw.sse"
    path.write_bytes(b"retry: 250\nid: 7\nevent: tick\ndata: a\ndata: b\n\ndata: unfinished")
    result = run("--framing", "sse", "--events", "--chunk-bytes", "1", str(path))
    assert lines(result) == [
        {"event": "tick", "data": "a\nb", "id": "7"},
        {"end": True, "last_event_id": "7", "retry": 250},
    ]
    assert result.exit_code == 0


def test_events_of_several_files_come_in_blocks(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "raw.sse"
    path.write_bytes(b"data: x\n\n")
    result = run("--framing", "sse", "--events", str(path), str(path))
    assert [line.get("data") for line in lines(result)] == ["x", None, "x", None]


def test_an_event_past_its_bound_is_an_error_line(tmp_path: Path) -> None:
    path = tmp_path / "huge.sse"
    path.write_bytes(b"data: x\n\ndata: " + b"y" * (11 * 2**20) + b"\n\n")
    result = run("--framing", "sse", "--events", str(path))
    first, last = lines(result)
    assert first["data"] == "x"
    assert last["error"]["kind"] == "protocol"
    assert result.exit_code == 1
    assert lines(run(*CHAT, str(path)))[0]["error"]["kind"] == "protocol"


# -- other APIs and framings ----------------------------------------------------------------------------------------

GEMINI = ("--provider", "gemini", "--api", "gemini.streamGenerateContent?alt=sse")
ARRAY = ("--provider", "gemini", "--api", "gemini.streamGenerateContent (JSON array)")
GEMINI_CHUNKS = [
    {"candidates": [{"content": {"parts": [{"text": "Grüße "}]}}], "modelVersion": "gemini-x"},
    {"candidates": [{"content": {"parts": [{"text": "🎉"}]}, "finishReason": "STOP"}]},
]
GEMINI_FINISH = {"kind": "stop", "raw": "STOP"}


@pytest.mark.parametrize("size", ["1", "5", "65536"])
def test_a_json_array_is_a_stream_to_the_api_that_has_it_so(tmp_path: Path, size: str) -> None:
    path = tmp_path / "array.json"
    path.write_bytes(json.dumps(GEMINI_CHUNKS, ensure_ascii=False, indent=1).encode())
    result = run(*ARRAY, "--chunk-bytes", size, str(path))
    (line,) = lines(result)
    assert (line["text"], line["finish"], line["model"]) == ("Grüße 🎉", GEMINI_FINISH, "gemini-x")
    assert result.exit_code == 0
    assert lines(run(*GEMINI, str(path)))[0]["text"] == "Grüße 🎉"


def test_a_json_array_that_is_cut_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    path.write_bytes(json.dumps(GEMINI_CHUNKS)[:-1].encode())
    result = run(*ARRAY, str(path))
    assert [(line["text"], line["error"]["kind"]) for line in lines(result)] == [("Grüße 🎉", "truncated")]
    assert result.exit_code == 1


def test_bare_json_in_googles_event_stream_is_its_error(tmp_path: Path) -> None:
    path = tmp_path / "gemini.sse"
    bare = b'{\n  "error": {\n    "code": 503,\n    "message": "Overloaded"\n  }\n}\n'
    path.write_bytes(chunks(*GEMINI_CHUNKS, done=False) + bare)
    (line,) = lines(run(*GEMINI, str(path)))
    assert (line["text"], line["finish"], line["error"]["kind"]) == ("Grüße 🎉", None, "overloaded")


def test_a_content_type_that_says_nothing_leaves_the_apis_own_framing(whole: str) -> None:
    assert lines(run(*CHAT, "--content-type", "**REDACTED**", whole)) == [expected(whole)]


@pytest.mark.parametrize(
    ("framing", "body", "events"),
    [
        (
            "json-array",
            b'[{"a": 1},\n 2]',
            [{"event": "message", "data": '{"a": 1}', "id": ""}, {"event": "message", "data": "2", "id": ""}],
        ),
        (
            "ndjson",
            b'{"a":1}\n\n2',
            [{"event": "message", "data": '{"a":1}', "id": ""}, {"event": "message", "data": "2", "id": ""}],
        ),
        (
            "google-sse",
            b'data: 1\n\n{"error":2}',
            [{"event": "message", "data": "1", "id": ""}, {"event": "error", "data": '{"error":2}', "id": ""}],
        ),
    ],
)
def test_events_of_each_framing(tmp_path: Path, framing: str, body: bytes, events: list[dict[str, Any]]) -> None:
    path = tmp_path / "raw"
    path.write_bytes(body)
    for size in ("1", "65536"):
        result = run("--framing", framing, "--events", "--chunk-bytes", size, str(path))
        assert lines(result) == [*events, {"end": True}]
        assert result.exit_code == 0


def test_events_of_an_array_without_its_end_are_truncated(tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    path.write_bytes(b"[1,")
    result = run("--framing", "json-array", "--events", str(path))
    assert [line.get("error", {}).get("kind") for line in lines(result)] == [None, "truncated"]
    assert result.exit_code == 1


def aws_message(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", crc32(prelude))
    return prelude + headers + payload + struct.pack(">I", crc32(prelude + headers + payload))


def test_events_of_an_aws_stream_have_typed_headers_and_tell_of_a_tail(tmp_path: Path) -> None:
    path = tmp_path / "raw.eventstream"
    headers = b"\x01s\x07\x00\x02hi" + b"\x01b\x06\x00\x02\x00\xff" + b"\x01t\x08" + struct.pack(">q", 8675309)
    path.write_bytes(aws_message(headers, b"{}") + b"\x00\x00")
    for size in ("1", "65536"):
        result = run("--framing", "eventstream", "--events", "--chunk-bytes", size, str(path))
        assert lines(result) == [
            {
                "headers": [
                    {"name": "s", "type": "string", "value": "hi"},
                    {"name": "b", "type": "binary", "value": "AP8="},
                    {"name": "t", "type": "timestamp", "value": 8675309},
                ],
                "payload_base64": "e30=",
            },
            {"end": True, "incomplete_tail_bytes": 2},
        ]
        assert result.exit_code == 0


def test_the_check_that_an_aws_message_fails_is_named(tmp_path: Path) -> None:
    path = tmp_path / "raw.eventstream"
    path.write_bytes(aws_message(b"", b"{}") + aws_message(b"", b"{}")[:-1] + b"?")
    result = run("--framing", "eventstream", "--events", str(path))
    whole, broken = lines(result)
    assert whole == {"headers": [], "payload_base64": "e30="}
    assert (broken["error"]["kind"], broken["error"]["fault"]) == ("protocol", "message-crc")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*CHAT, "missing.sse"), "missing.sse"),
        ((*CHAT,), "Missing argument"),
        (("--provider", "nobody", "--api", "openai.chat.completions", "-"), "openrouter"),
        (("--provider", "openai", "--api", "openai.telepathy", "-"), "supported: openai.chat.completions, "),
        (("--provider", "openai", "-"), "--api"),
        (("--framing", "sse", "-"), "--events"),
        (("--framing", "yaml", "--events", "-"), "json-array"),
        ((*CHAT, "--content-type", "application/vnd.amazon.eventstream", "-"), "supported: text/event-stream"),
        ((*CHAT, "--status", "99", "-"), "99"),
        ((*CHAT, "--chunk-bytes", "0", "-"), "0"),
    ],
)
def test_a_misuse_says_what_is_possible_and_exits_2(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, stdin=b"")
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_help_has_an_example() -> None:
    assert "rxlapce decode --provider openai --api openai.chat.completions answer.sse" in run("--help").stdout
