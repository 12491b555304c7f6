"""What is wrong with pipelines and routes is told at the stage, sink or route that it is about, all of it at once."""

import pytest

from rxlapce.config.check import problems_of

ALIAS = "models: {fast: {ask: [openai/a, anthropic/b]}}\n"
GROQ = 'providers: {groq: {base_url: "https://g.example/v1"}}\n'

WRONG: dict[str, tuple[str, list[str]]] = {
    "a stage behind a sink": (
        "pipelines: {p: {stages: [editor, redact]}}",
        [
            "pipelines.p.stages[0]: editor is a sink: put it among the sinks",
            "pipelines.p.stages[1]: redact takes tokens, but gets frames from editor: put it before the sinks",
        ],
    ),
    "a token stage before decoding": (
        "pipelines: {p: {stages: [{record: {folder: r}}, redact, decode, token_map]}}",
        [
            (
                "pipelines.p.stages[1]: redact takes tokens, but gets bytes from record: put decode and token_map "
                "before it"
            ),
            (
                "pipelines.p.stages[2]: decode takes bytes, but gets tokens from redact: put it before the stage that "
                "decodes"
            ),
        ],
    ),
    "events of bytes": (
        "pipelines: {p: {stages: [token_map]}}",
        ["pipelines.p.stages[0]: token_map takes events, but gets bytes from the provider: put decode before it"],
    ),
    "nothing that makes tokens": (
        "pipelines: {p: {stages: [decode]}}",
        ["pipelines.p.stages[0]: the sinks take tokens, but get events from decode: put token_map behind it"],
    ),
    "tokens of events": (
        "pipelines: {p: {stages: [decode, metrics_tap]}}",
        ["pipelines.p.stages[1]: metrics_tap takes tokens, but gets events from decode: put token_map before it"],
    ),
    "a stage twice": (
        "pipelines: {p: {stages: [retry_stream, retry_stream]}}",
        ["pipelines.p.stages[1]: retry_stream stands here a second time: it can stand once in a pipeline"],
    ),
    "retry after fallback": (
        "pipelines: {p: {stages: [fallback, retry_stream]}}",
        [
            (
                "pipelines.p.stages[1]: retry_stream is for one model, and what follows fallback is for all: put it "
                "before that"
            )
        ],
    ),
    "a stage behind the client's buffer": (
        "pipelines: {p: {stages: [buffer_with_backpressure, redact]}}",
        ["pipelines.p.stages[1]: redact stands behind buffer_with_backpressure, which is the last: put it before"],
    ),
    "no sink": (
        "pipelines: {p: {sinks: []}}",
        ["pipelines.p.sinks: expected a list of one or more sinks, got an empty list"],
    ),
    "no client": (
        "pipelines: {p: {sinks: [memory]}}",
        ["pipelines.p.sinks: there is no editor among the sinks, so nobody would get the answer: add it"],
    ),
    "two clients": (
        "pipelines: {p: {sinks: [editor, memory, editor]}}",
        ["pipelines.p.sinks[2]: editor stands here a second time: a request is answered once"],
    ),
    "a stage among the sinks": (
        "pipelines: {p: {sinks: [editor, fallback]}}",
        ["pipelines.p.sinks[1]: fallback is a stage: put it among the stages"],
    ),
    "too many copies": (
        "pipelines: {p: {sinks: [editor, memory, memory, memory, memory, memory, memory, memory, memory, memory]}}",
        ["pipelines.p.sinks[9]: besides the editor there can be 8 sinks"],
    ),
    "a buffer said twice": (
        "pipelines: {p: {stages: [buffer_with_backpressure], sinks: [{editor: {capacity: 300}}]}}",
        ["pipelines.p.sinks[0]: capacity: buffer_with_backpressure among the stages says this; say it once"],
    ),
    "water marks the wrong way round": (
        "pipelines: {p: {stages: [{buffer_with_backpressure: {high_water: 8}}]}}",
        [
            (
                "pipelines.p.stages[0].buffer_with_backpressure.high_water: high_water must be above low_water (64) "
                "and at most capacity (4096), not 8"
            )
        ],
    ),
    "a stage that there is not": (
        "pipelines: {p: {stages: [redcat, {retry: {}}]}}",
        [
            "pipelines.p.stages[0]: there is no stage 'redcat' (rxlapce list stages has all); did you mean redact?",
            (
                "pipelines.p.stages[1]: there is no stage 'retry' (rxlapce list stages has all); did you mean "
                "retry_stream?"
            ),
        ],
    ),
    "an option that there is not, and one out of its range": (
        "pipelines: {p: {stages: [{retry_stream: {attempts: 3}}, {coalesce_text: {max_chars: 0}}]}}",
        [
            (
                "pipelines.p.stages[0].retry_stream: unknown name 'attempts'; known: max_attempts, base_s, max_s, "
                "min_s, deadline_s; did you mean max_attempts?"
            ),
            "pipelines.p.stages[1].coalesce_text.max_chars: expected a whole number of characters from 1, got 0",
        ],
    ),
    "a pattern that is none": (
        'pipelines: {p: {stages: [{redact: {patterns: ["("]}}]}}',
        [
            (
                "pipelines.p.stages[0].redact.patterns: patterns: pattern '(' is no regular expression: missing ), "
                "unterminated subpattern at position 0"
            )
        ],
    ),
    "what has to be said": (
        "pipelines: {p: {sinks: [editor, record, {record: {keep_files: 3}}]}}",
        [
            "pipelines.p.sinks[1]: record has to be told something: record: {folder: ~/recordings, keep_files: 100}",
            (
                "pipelines.p.sinks[2].record: folder is missing: where the files are; made if it is not there; ~ is "
                "your own folder"
            ),
        ],
    ),
    "what is no stage at all": (
        "pipelines: {p: {stages: [7, {a: 1, b: 2}, []]}}",
        [
            "pipelines.p.stages[0]: expected a stage: its name, or a mapping of its name to its options, got 7",
            (
                "pipelines.p.stages[1]: expected a stage: its name, or a mapping of its name to its options, got a "
                "mapping of 2 names"
            ),
            "pipelines.p.stages[2]: expected a stage: its name, or a mapping of its name to its options, got a list",
        ],
    ),
    "several models and no fallback": (
        f"{ALIAS}pipelines: {{p: {{stages: [retry_stream]}}}}\nroutes: [{{models: [fast], pipeline: p}}]",
        [
            (
                "pipelines.p: fallback is missing: the alias fast, which routes[0] brings here, has 2 models, of which "
                "the first alone would be asked"
            )
        ],
    ),
    "several models and a default without a fallback": (
        f"{ALIAS}pipelines: {{default: {{stages: []}}}}\n",
        [
            (
                "pipelines.default: fallback is missing: the alias fast, which no route takes elsewhere, has 2 models, "
                "of which the first alone would be asked"
            )
        ],
    ),
    "a framing that nobody speaks who gets there": (
        (
            f"{GROQ}pipelines: {{p: {{stages: [eventstream_decode, token_map]}}}}\n"
            'routes: [{models: ["groq/*"], pipeline: p}]'
        ),
        [
            (
                "pipelines.p.stages[0]: eventstream_decode takes eventstream, but here comes groq (sse, by routes[0]): "
                "put decode in its place"
            )
        ],
    ),
    "a route that no request gets to": (
        (
            f"{ALIAS}pipelines: {{p: {{}}}}\nroutes:\n"
            '  - {models: ["openai/*", fast], pipeline: p}\n'
            "  - {models: [openai/gpt, fast], users: [ada], pipeline: p}"
        ),
        ["routes[1]: no request gets here: routes[0] in line 4 takes all that this one does"],
    ),
    "names that nobody has": (
        "pipelines: {p: {}}\nroutes: [{models: [opnai/a, 'o*i', 'q*', nobody], pipeline: pp}]",
        [
            (
                "routes[0].models[0]: 'opnai/a' is no alias, and no model as PROVIDER/MODEL of a provider that there "
                "is; did you mean openai?"
            ),
            "routes[0].models[1]: 'o*i': a * stands at the end alone",
            "routes[0].models[2]: 'q*' is no alias, and no model as PROVIDER/MODEL of a provider that there is",
            "routes[0].models[3]: 'nobody' is no alias, and no model as PROVIDER/MODEL of a provider that there is",
            "routes[0].pipeline: there is no pipeline 'pp'; there are: default, p; did you mean p?",
        ],
    ),
    "lists that say nothing, or twice the same": (
        "pipelines: {p: {}}\nroutes: [{users: [], clients: [a, a], kinds: [chats], pipeline: p}, {models: ['*']}]",
        [
            "routes[0].kinds[0]: expected chat or complete, got 'chats'; did you mean chat?",
            "routes[1]: pipeline is missing: the name of the pipeline that such a request goes",
        ],
    ),
    "an empty list, and a name twice": (
        "pipelines: {p: {}}\nroutes: [{users: [], clients: [a, a], pipeline: p}]",
        [
            "routes[0].users: expected a list of one or more, got an empty list: leave it out, and any fits",
            "routes[0].clients[1]: 'a' stands here a second time",
        ],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_where_it_stands_and_nothing_that_follows_from_it(wrong: str) -> None:
    text, told = WRONG[wrong]
    assert [f"{problem.path}: {problem.message}" for problem in problems_of(text, "f.yaml")] == told


@pytest.mark.parametrize(
    "text",
    [
        "pipelines: {p: {}}",
        "pipelines: {p: {stages: []}}",
        f"{ALIAS}pipelines: {{p: {{stages: [retry_stream]}}}}\nroutes: [{{models: [openai/a], pipeline: p}}]",
        (
            "pipelines: {p: {stages: [stream_timeouts, retry_stream, stream_timeouts: {total_s: 9}, fallback, redact, "
            "redact]}}"
        ),
        "pipelines: {p: {stages: [{record: {folder: r}}, sse_decode, token_map, log_tap, fallback, log_tap]}}",
        "pipelines: {p: {}}\nroutes: [{users: [ada], pipeline: p}, {kinds: [chat], pipeline: p}, {pipeline: default}]",
    ],
)
def test_what_is_right_is_not_refused(text: str) -> None:
    assert problems_of(text, "f.yaml") == ()
