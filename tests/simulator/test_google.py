"""What is Google's alone: white space and chunks as recorded, strict requests, keys, lists and counts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator, parse
from rxlapce.simulator.asked import BadBody, Where
from rxlapce.simulator.google.asked import read_generate
from rxlapce.simulator.google.json import compact, pretty
from rxlapce.simulator.google.tokens import issue
from rxlapce.simulator.google.wires import gemini_wire, vertex_wire
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded

HELLO = {"role": "user", "parts": [{"text": "Hello"}]}
VERTEX = "/v1/projects/p/locations/global/publishers"
FUNCTION = {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}


def called(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [{"functionCall": {"name": name, "args": {}}, **more}]}


def answered(*names: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"n": 1}}} for name in names]}


def where(model: str = "sim", *, sse: bool = True) -> Where:
    query = {"alt": "sse"} if sse else {}
    return Where(path=f"/v1beta/models/{model}:streamGenerateContent", query=query, model=model)


def read(body: Mapping[str, Any], model: str = "sim") -> Any:
    return read_generate(json.dumps(body).encode(), where(model))


def events(body: Mapping[str, Any], options: str = "", model: str = "sim", *, vertex: bool = False) -> list[Any]:
    """The chunks of a stream in server-sent events."""
    asked = read(body, model)
    wire = (vertex_wire if vertex else gemini_wire)(asked, seeded(1))
    said = b"".join(event for _, event in wire.events(compose(asked, parse(options), seeded(1))))
    assert said.endswith(b"\r\n\r\n")
    return [json.loads(event.removeprefix(b"data: ")) for event in said.split(b"\r\n\r\n")[:-1]]


# -- as recorded ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recording",
    ["gemini/sse-text-gemini-2-5-flash", "vertex/sse-text-gemini-2-5-flash", "gemini/sse-reasoning-gemini-3-5-flash"],
)
def test_events_are_written_in_googles_white_space(recordings: Path, recording: str) -> None:
    recorded = (recordings / f"{recording}.sse").read_bytes()
    lines = [line for line in recorded.decode().split("\r\n") if line]
    assert [f"data: {compact(json.loads(line.removeprefix('data: ')))}" for line in lines] == lines


def test_arrays_are_written_in_googles_white_space(recordings: Path) -> None:
    for recording in sorted((recordings / "gemini").glob("array-*.json")):
        text = recording.read_bytes().decode()
        chunks = json.loads(text)
        assert "[" + "\n,\r\n".join(map(pretty, chunks)) + "\n]" == text, recording.name


def paths(value: Any) -> list[str]:
    """The members of a value in their order, without what they say."""
    if is_object(value):
        return [f".{key}{path}" for key, member in value.items() for path in paths(member)]
    return [f"[]{path}" for item in value for path in paths(item)] if is_array(value) else [""]


def test_chunks_have_the_members_of_recorded_ones_in_their_order(recordings: Path) -> None:
    for name, vertex in (("gemini/sse-reasoning-gemini-2-5-flash", False), ("vertex/sse-text-gemini-2-5-flash", True)):
        lines = (recordings / f"{name}.sse").read_text().splitlines()
        theirs = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        options = "tokens=3" if vertex else "tokens=3,reasoning=2"
        mine = events({"contents": [HELLO]}, options, vertex=vertex)
        assert paths(mine[0]) == paths(theirs[0])
        assert list(mine[-1]) == list(theirs[-1])
        assert set(theirs[-1]["usageMetadata"]) - {"thoughtsTokenCount"} <= set(mine[-1]["usageMetadata"])


def test_a_function_call_comes_whole_before_a_finish_that_says_stop() -> None:
    body = {"contents": [HELLO], "tools": [{"functionDeclarations": [FUNCTION]}]}
    chunks = events(body, "tools=2,reasoning=1")
    parts = [chunk["candidates"][0]["content"]["parts"][0] for chunk in chunks]
    assert [part.get("functionCall", {}).get("args") for part in parts] == [
        None,
        {"city": "city"},
        {"city": "city"},
        None,
    ]
    assert ["thoughtSignature" in part for part in parts] == [False, True, False, False]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_only_later_models_give_ids_to_their_calls() -> None:
    body = {"contents": [HELLO], "tools": [{"functionDeclarations": [FUNCTION]}]}
    for model, has_id in (("gemini-2.5-flash", False), ("gemini-3.5-flash", True)):
        call = events(body, "tools=1", model)[0]["candidates"][0]["content"]["parts"][0]
        assert ("id" in call["functionCall"]) is has_id
        assert ("thoughtSignature" in call) is has_id


def test_the_last_counts_are_the_whole_answers_and_thoughts_stand_apart() -> None:
    chunks = events({"contents": [HELLO]}, "tokens=3,reasoning=2")
    usages = [chunk["usageMetadata"] for chunk in chunks]
    assert [usage.get("thoughtsTokenCount") for usage in usages] == [1, 2, 2, 2, 2, 2]
    assert [usage.get("candidatesTokenCount") for usage in usages] == [None, None, 1, 2, 3, 3]
    assert usages[-1]["totalTokenCount"] == usages[-1]["promptTokenCount"] + 5


def test_candidates_take_turns_and_end_in_one_chunk() -> None:
    chunks = events({"contents": [HELLO], "generationConfig": {"candidateCount": 3}}, "tokens=2")
    assert [[said["index"] for said in chunk["candidates"]] for chunk in chunks] == [[0], [1], [2]] * 2 + [[0, 1, 2]]


def test_a_filter_ends_an_answer_and_before_the_first_token_blocks_the_prompt() -> None:
    last = events({"contents": [HELLO]}, "finish=content_filter,tokens=3")[-1]["candidates"][0]
    assert (last["finishReason"], "content" in last) == ("SAFETY", False)
    (blocked,) = events({"contents": [HELLO]}, "finish=content_filter,tokens=0")
    assert blocked["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidates" not in blocked


def test_thoughts_are_counted_and_not_told_unless_they_are_asked_for() -> None:
    for told in (False, True):
        config = {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": told}}
        chunks = events({"contents": [HELLO], "generationConfig": config}, "tokens=1")
        thoughts = [chunk for chunk in chunks if chunk["candidates"][0]["content"]["parts"][0].get("thought")]
        assert bool(thoughts) is told
        assert chunks[-1]["usageMetadata"]["thoughtsTokenCount"] > 0


@pytest.mark.parametrize(
    "schema",
    [
        {"responseSchema": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "minimum": 5, "maximum": 5}}}},
        {"responseJsonSchema": {"type": "object", "properties": {"n": {"const": 5}}}},
    ],
)
def test_an_answer_fits_the_schema_that_is_asked_for(schema: dict[str, Any]) -> None:
    config = {"responseMimeType": "application/json", **schema}
    reply = compose(read({"contents": [HELLO], "generationConfig": config}), parse(""), seeded(1))[0]
    assert json.loads("".join(reply.text_pieces())) == {"n": 5}


def test_text_that_could_be_html_is_escaped() -> None:
    assert compact({"a": "<b>", "c": [1, "é"]}) == '{"a": "\\u003cb\\u003e","c": [1,"é"]}'


def test_a_piece_with_percent_signs_is_said_as_it_is() -> None:
    chunks = events({"contents": [{"parts": [{"text": "100%(x)s of 5% < 7"}]}]}, "tokens=40", "sim-%s")
    text = "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks)
    assert "100%(x)s of 5% < 7" in text
    assert {chunk["modelVersion"] for chunk in chunks} == {"sim-%s"}


# -- what is refused ------------------------------------------------------------------------------------------------


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "contents is not specified"),
    ({"contents": [HELLO], "messages": []}, r'Unknown name "messages": Cannot find field'),
    (
        {"contents": [HELLO], "generationConfig": {"maxTokens": 1}},
        r'Unknown name "maxTokens" at \'generationConfig\'',
    ),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
    ({"contents": [{"role": "user", "parts": []}]}, "parts must not be empty"),
    ({"contents": [{"role": "user", "parts": [{}]}]}, "required oneof field 'data'"),
    ({"contents": "x"}, "Invalid value at 'contents'"),
    ({"contents": [HELLO, called(), HELLO]}, "number of function response parts"),
    ({"contents": [HELLO, called(), answered("f", "f")]}, "number of function response parts"),
    ({"contents": [answered("f")]}, "number of function response parts"),
    ({"contents": [HELLO, called(), answered("g")]}, "does not answer any function call"),
    ({"contents": [HELLO], "generationConfig": {"candidateCount": 9}}, "candidateCount value of 9"),
    ({"contents": [HELLO], "generationConfig": {"maxOutputTokens": 0}}, "must be positive"),
    ({"contents": [HELLO], "generationConfig": {"responseSchema": {}}}, "only allowed when response_mime_type"),
    (
        {
            "contents": [HELLO],
            "generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "low"}},
        },
        "only one of thinking budget and thinking level",
    ),
    (
        {
            "contents": [HELLO],
            "tools": [{"functionDeclarations": [{**FUNCTION, "parametersJsonSchema": {"type": "object"}}]}],
        },
        "only one of parameters",
    ),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_what_google_refuses_is_refused_in_its_words(body: dict[str, Any], words: str) -> None:
    with pytest.raises(BadBody, match=words):
        read(body)


def test_json_that_is_none_is_refused() -> None:
    with pytest.raises(BadBody, match="Invalid JSON payload received"):
        read_generate(b"{", where())


def test_gemini_3_wants_the_signatures_of_the_current_turn_back() -> None:
    unsigned = [HELLO, called(), answered("f")]
    with pytest.raises(BadBody, match=r"missing a thought_signature.*`default_api:f` , position 2"):
        read({"contents": unsigned}, "gemini-3-pro-preview")
    read({"contents": unsigned}, "gemini-2.5-pro")
    read({"contents": [HELLO, called(thoughtSignature="c2ln"), answered("f")]}, "gemini-3-pro-preview")
    # An earlier turn is not looked at.
    read({"contents": [*unsigned, {"role": "model", "parts": [{"text": "42"}]}, HELLO]}, "gemini-3-pro-preview")


def test_pictures_files_and_results_are_heard() -> None:
    parts = [
        {"text": "Look:"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "gs://b/o", "mimeType": "image/png"}},
    ]
    asked = read(
        {"contents": [{"role": "user", "parts": parts}], "systemInstruction": {"parts": [{"text": "Be kind"}]}}
    )
    assert (asked.images, asked.heard, asked.prompt) == (2, "Be kind\nLook:", "Look:")
    assert read({"contents": [HELLO, called(), answered("f")]}).tool_results == ('{"n":1}',)


def test_members_in_snake_case_are_read_too_and_the_callers_own_stay() -> None:
    function = {"name": "f", "parameters_json_schema": {"type": "object", "properties": {"city_name": {"const": 1}}}}
    body = {
        "contents": [HELLO],
        "tools": [{"function_declarations": [function]}],
        "generation_config": {"max_output_tokens": 7, "thinkingConfig": {"include_thoughts": True}},
    }
    asked = read(body)
    assert (asked.max_tokens, asked.thinking) == (7, True)
    assert asked.tools[0].schema == function["parameters_json_schema"]
    answer = answered("f")
    answer["parts"][0]["functionResponse"]["response"] = {"in_snake": 1}
    assert read({"contents": [HELLO, called(), answer]}).tool_results == ('{"in_snake":1}',)


def test_whether_and_which_functions_are_called_is_heard() -> None:
    for config, expected in (
        ({"mode": "NONE"}, (False, False, None)),
        ({"mode": "ANY", "allowedFunctionNames": ["get_weather"]}, (True, True, "get_weather")),
    ):
        asked = read({"contents": [HELLO], "toolConfig": {"functionCallingConfig": config}})
        assert (asked.must_call, asked.may_call, asked.only_tool) == expected


# -- keys and errors over HTTP --------------------------------------------------------------------------------------


async def test_a_key_is_taken_from_its_header_or_the_query() -> None:
    path = "/v1beta/models/sim:generateContent"
    async with (
        Simulator(api_key=Secret("AIza-right")) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        for headers, query, status in (
            ({"x-goog-api-key": "AIza-right"}, {}, 200),
            ({}, {"key": "AIza-right"}, 200),
            ({"x-goog-api-key": "AIza-wrong"}, {}, 400),
            ({}, {}, 400),
        ):
            async with client.post(path, json={"contents": [HELLO]}, headers=headers, params=query) as response:
                assert response.status == status
                body = await response.text()
        assert json.loads(body)["error"]["details"][0]["reason"] == "API_KEY_INVALID"
        assert body == json.dumps(json.loads(body), indent=2) + "\n"


async def test_vertex_takes_bearer_tokens_alone() -> None:
    path = f"{VERTEX}/google/models/sim:generateContent"
    async with (
        Simulator(api_key=Secret("ya29.right")) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        for headers, status in (
            ({"authorization": "Bearer ya29.right"}, 200),
            ({"authorization": f"Bearer {issue()}"}, 200),
            ({"authorization": f"Bearer {issue()}x"}, 401),
            ({"authorization": "Bearer ya29.wrong"}, 401),
            ({"x-goog-api-key": "ya29.right"}, 401),
        ):
            async with client.post(path, json={"contents": [HELLO]}, headers=headers) as response:
                assert response.status == status
    async with Simulator() as simulator, aiohttp.ClientSession(simulator.base_url) as client:
        assert (await client.post(path, json={"contents": [HELLO]})).status == 401


@pytest.mark.parametrize(("fault", "quota"), [("rate_limit", "PerMinute"), ("quota", "PerDay")])
async def test_a_quota_is_named_in_the_details_with_the_time_to_wait(
    client: aiohttp.ClientSession, fault: str, quota: str
) -> None:
    path = f"/v1beta/models/sim:fault={fault},retry_after=46:generateContent"
    async with client.post(path, json={"contents": [HELLO]}) as response:
        assert response.status == 429
        error = (await response.json())["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    failure, retry = error["details"]
    assert quota in failure["violations"][0]["quotaId"]
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"}


async def test_claude_on_vertex_is_refused_in_anthropics_words_or_googles(client: aiohttp.ClientSession) -> None:
    path = f"{VERTEX}/anthropic/models/sim:streamRawPredict"
    headers = {"authorization": "Bearer any"}
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    version = {"anthropic_version": "vertex-2023-10-16"}
    for members, words in (
        ({}, "anthropic_version: Field required"),
        ({"anthropic_version": "2023-06-01"}, "vertex-2023-10-16"),
        ({**version, "model": "m"}, "model: Extra inputs"),
    ):
        async with client.post(path, json=body | members, headers=headers) as response:
            said = await response.json()
        assert (response.status, said["type"], said["error"]["type"]) == (400, "error", "invalid_request_error")
        assert words in said["error"]["message"]
    async with client.post(path, json=body | version) as response:
        assert (response.status, (await response.json())["error"]["status"]) == (401, "UNAUTHENTICATED")
    async with client.post(path, json=body | version, headers=headers) as response:
        assert b'"id":"msg_vrtx_01' in await response.read()


# -- counts and lists -----------------------------------------------------------------------------------------------


async def test_tokens_are_counted(client: aiohttp.ClientSession) -> None:
    headers = {"authorization": "Bearer any"}
    for path in ("/v1beta/models/sim:countTokens", f"{VERTEX}/google/models/sim:countTokens"):
        for body in ({"contents": [HELLO]}, {"generateContentRequest": {"model": "models/sim", "contents": [HELLO]}}):
            async with client.post(path, json=body, headers=headers) as response:
                assert (await response.json())["totalTokens"] == 8
        async with client.post(path, json={}, headers=headers) as response:
            assert response.status == 400
    claude = {
        "anthropic_version": "vertex-2023-10-16",
        "model": "sim",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    path = f"{VERTEX}/anthropic/models/count-tokens:rawPredict"
    async with client.post(path, json=claude, headers=headers) as response:
        count = (await response.json())["input_tokens"]
    path = f"{VERTEX}/anthropic/models/sim:rawPredict"
    asked = {name: value for name, value in claude.items() if name != "model"} | {"max_tokens": 9}
    async with client.post(path, json=asked, headers=headers) as response:
        assert (await response.json())["usage"]["input_tokens"] == count > 0
    path = f"{VERTEX}/anthropic/models/count-tokens:rawPredict"
    async with client.post(path, json=asked, headers=headers) as response:
        assert "model: Field required" in (await response.json())["error"]["message"]


async def test_models_are_listed_page_by_page(client: aiohttp.ClientSession) -> None:
    names: list[str] = []
    token = ""
    pages = 0
    while pages == 0 or token:
        async with client.get("/v1beta/models", params={"pageSize": "8", "pageToken": token}) as response:
            page = await response.json()
        names += [model["name"] for model in page["models"] if "generateContent" in model["supportedGenerationMethods"]]
        token = page.get("nextPageToken", "")
        pages += 1
    assert pages > 2
    assert len(names) == len(set(names))
    assert "models/sim" in names
    async with client.get("/v1beta/models", params={"pageToken": "x"}) as response:
        assert response.status == 400
    headers = {"authorization": "Bearer any"}
    async with client.get("/v1beta1/publishers/google/models", headers=headers) as response:
        assert (await response.json())["publisherModels"][0]["name"] == "publishers/google/models/sim"
