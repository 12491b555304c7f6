"""`rxlapce check`: what is wrong in files, as a person and as an editor sees it."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

KEY = "sk-test-0123456789abcdef"
WRONG = f"""\
providers:
  groq:
    base_url: https://me:{KEY}@api.groq.com/v1
    key: {KEY}
timeouts: {{idle_s: 5s}}
limits:
\tuser: {{requests: 5}}
"""
FINE = 'providers: {groq: {base_url: "https://api.groq.com/v1", key: "env:GROQ_API_KEY"}}\n'


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file into the current folder, and gives its name."""
    monkeypatch.chdir(tmp_path)

    def written(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return written


def test_a_file_in_which_nothing_is_wrong_is_exit_code_0(command: Command, write: Write) -> None:
    done = command("check", write("a.yaml", FINE))
    assert (done.code, done.out, done.err) == (0, "a.yaml: nothing is wrong\n", "")


def test_each_wrong_place_is_a_line_as_compilers_tell_it(command: Command, write: Write) -> None:
    done = command("check", write("a.yaml", "timeouts: {idle_s: 5s}\nretry: {max_atempts: 3}\n"))
    assert done.code == 1
    assert done.err == ""
    assert done.out.splitlines() == [
        "a.yaml:1:20: timeouts.idle_s: expected a number of seconds above 0 or null, got '5s'",
        (
            "a.yaml:2:9: retry: unknown name 'max_atempts'; known: max_attempts, base_s, max_s, min_s, deadline_s, "
            "patience_s, budget; did you mean max_attempts?"
        ),
        "2 things are wrong in a.yaml",
    ]


def test_several_files_are_told_each_by_its_name(command: Command, write: Write) -> None:
    names = (write("a.yaml", "retry: 1\n"), write("b.yaml", FINE), "nowhere.yaml", write("c.yaml", "no: 1\n"))
    done = command("check", *names)
    assert done.code == 1
    assert [line.partition(": ")[0] for line in done.out.splitlines()] == [
        "a.yaml:1:8",
        "nowhere.yaml",
        "c.yaml:1:1",
        "b.yaml",
        "3 things are wrong in 3 files",
    ]


def test_json_is_one_list_for_editors(command: Command, write: Write) -> None:
    assert json.loads(command("check", "--json", write("a.yaml", FINE)).out) == []
    done = command(
        "check", "--json", write("b.yaml", "a: [1\n"), "nowhere.yaml", write("c.yaml", "retry: {base_s: 0}\n")
    )
    assert done.code == 1
    assert json.loads(done.out) == [
        {
            "file": "b.yaml",
            "line": 2,
            "column": 1,
            "path": "",
            "message": "not YAML: expected ',' or ']', but got the end of the file (it began in line 1); a comma is "
            "missing, or the bracket is not closed",
        },
        {
            "file": "nowhere.yaml",
            "line": 1,
            "column": 1,
            "path": "",
            "message": "cannot be read: No such file or directory",
        },
        {
            "file": "c.yaml",
            "line": 1,
            "column": 17,
            "path": "retry.base_s",
            "message": "expected a number of seconds above 0, got 0",
        },
    ]
    assert len(done.out.splitlines()) == 1


def test_standard_input_is_a_dash(command: Command) -> None:
    done = command("check", "-", stdin=b"retry: {base_s: 0}\n")
    assert (done.code, done.out.partition(": ")[0]) == (1, "<stdin>:1:17")
    assert command("check", "-", stdin=FINE.encode()).out == "<stdin>: nothing is wrong\n"


SOURCES = {
    "the place": ("retry: {base_s: 0}\n", ["  1 | retry: {base_s: 0}", "    |                 ^"]),
    "wide characters and a tab": (
        'models: {"漢\t字": 1}\n',
        ['  1 | models: {"漢 字": 1}', f"    | {' ' * 18}^"],
    ),
    "a long line": (
        f"models: {{fast: {{ask: [{'openai/m' + 'x' * 200}, y]}}}}\n",
        [f"  1 | {'x' * 53}, y]}}}}", f"    | {' ' * 55}^"],
    ),
    "the end of the file": ("a: [1\n", ["  2 | ", "    | ^"]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_line_is_shown_with_a_caret_under_what_is_wrong(command: Command, write: Write, source: str) -> None:
    text, lines = SOURCES[source]
    shown = command("check", "--show-source", write("a.yaml", text)).out.splitlines()
    at = next(number for number, line in enumerate(shown) if line.startswith("  "))
    assert shown[at : at + 2] == lines


def test_lines_are_shown_on_a_terminal_alone_unless_asked_for(
    command: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("a.yaml", "retry: {base_s: 0}\n")
    assert "^" not in command("check", name).out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "^" in command("check", name).out
    assert "^" not in command("check", "--no-show-source", name).out


KEYS = {
    "in place of a reference": f"providers:\n  groq:\n    key: {KEY}\n    base_url: 1\n",
    "on a line with something else wrong": f"providers: {{groq: {{key: {KEY}, base: 1}}}}\n",
    "in quotes": f"providers: {{groq: {{key: '{KEY}', base: 1}}}}\n",
    "in a line of its own": f"providers:\n  groq:\n    key:\n      {KEY}\n    base_url: 1\n",
    "in a base URL": f"providers: {{groq: {{base_url: 'https://me:{KEY}@h/v1'}}}}\n",
    "in a base URL without its beginning": f"providers: {{groq: {{base_url: me:{KEY}@h/v1}}}}\n",
    "in a base URL's query": f"providers: {{groq: {{base_url: 'https://h/v1?key={KEY}'}}}}\n",
    "in an address": f"limits: {{store: 'redis://:{KEY}@h', wait_s: -1}}\n",
    "of several": f"providers: {{openai: {{keys: [{{name: a, key: {KEY}, request: 1}}]}}}}\n",
    "without a name": f"providers: {{openai: {{keys: [{KEY}]}}}}\n",
    "without a name, in a line of its own": f"providers:\n  openai:\n    keys:\n      - {KEY}\n",
    "without a name, beside something else wrong": f"providers: {{openai: {{keys: [{KEY}], base: 1}}}}\n",
    "as the passphrase": f"vault: {{unlock: {KEY}, files: 1}}\n",
    "in what is no YAML": f"providers: {{groq: {{key: {KEY}\n",
    "before what is no YAML": f"providers: {{groq: {{key: {KEY}, a: b: c}}}}\n",
}


@pytest.mark.parametrize("where", KEYS)
@pytest.mark.parametrize("form", ["--show-source", "--json"])
def test_a_key_that_stands_in_the_file_is_never_shown(command: Command, write: Write, where: str, form: str) -> None:
    done = command("check", form, write("a.yaml", KEYS[where]))
    assert done.code == 1
    assert KEY not in done.out + done.err


def test_references_are_shown_and_lines_keep_their_length(command: Command, write: Write) -> None:
    text = f"providers: {{groq: {{key: 'env:GROQ_API_KEY', base: 1}}, xai: {{key: {KEY}, b: 1}}}}\n"
    line = command("check", "--show-source", write("a.yaml", text)).out.splitlines()[1]
    assert line == "  1 | " + text.rstrip().replace(KEY, "*" * len(KEY))


def test_keys_are_fetched_if_asked_for(command: Command, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write("a.yaml", FINE)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    done = command("check", "--resolve", name)
    assert (done.code, done.out) == (
        1,
        "a.yaml:1:62: providers.groq.key: the environment has no GROQ_API_KEY: set it, or take this provider out\n",
    )
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert command("check", "--resolve", name).code == 0


def test_what_a_file_says_cannot_move_the_cursor(command: Command, write: Write) -> None:
    done = command("check", "--show-source", write("a.yaml", 'retry: {"\\e[2Jbase": 1}\n'))
    assert done.code == 1
    assert "\x1b" not in done.out


def test_no_file_is_a_misuse(command: Command) -> None:
    assert command("check").code == 2


def test_the_daemon_s_error_has_a_line_for_each_place_and_their_number(command: Command, write: Write) -> None:
    done = command("route", "--config", write("a.yaml", "retry: {base_s: 0, max_s: 0}\nhealth: 1\n"), "openai/m")
    assert done.code == 1
    assert done.out == ""
    lines = done.err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["Error", "a.yaml:1:27", "a.yaml:2:9", "3 things are wrong"]
    assert io.StringIO(done.err).readline().startswith("Error: a.yaml:1:17: retry.base_s: ")
