"""What the panel says: advice, figures, notices, the header; and what it lets nobody say."""

import pytest

from rxlapce.bridge.messages import ConnectionState, ConnectionStatus
from rxlapce.chat.advice import ADVICE, advice
from rxlapce.chat.figures import figures, seconds, short, thought
from rxlapce.chat.matching import fitting, rank
from rxlapce.chat.notices import notice
from rxlapce.chat.safe import harmless, one_line
from rxlapce.chat.terminal import dark_colour, theme, typed_in
from rxlapce.chat.turns import Shown, Standing
from rxlapce.errors import ErrorKind
from rxlapce.messages import ErrorBody
from rxlapce.tokens import Usage, UsageSource


def test_every_kind_of_error_has_its_advice() -> None:
    assert set(ADVICE) == set(ErrorKind)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ErrorBody(kind="auth", retry="other_key", phase="headers", message="m"), "rxlapce providers --check"),
        (ErrorBody(kind="network", retry="same", phase="connect", message="m"), "connects again"),
        (ErrorBody(kind="network", retry="same", phase="connect", message="m", provider="openai"), "rxlapce doctor"),
        (ErrorBody(kind="network", retry="same", phase="headers", message="m"), "went away before"),
        (ErrorBody(kind="rate_limit", retry="same", phase="headers", message="m", retry_after_s=7.0), "in 7 s"),
        (ErrorBody(kind="a kind of tomorrow", retry="never", phase="flow", message="m"), "log"),
    ],
)
def test_advice_is_for_what_went_wrong_where(error: ErrorBody, says: str) -> None:
    assert says in advice(error)


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (Shown(took_s=1.24), "waiting for the first token, 1.2 s"),
        (
            Shown(standing=Standing.ANSWERING, took_s=12.4, first_s=0.5, per_s=61.7, counted=700),
            "12 s · first token 500 ms · 62 tokens/s · 700 tokens",
        ),
        (
            Shown(standing=Standing.DONE, finish="length", counted=2,
                  usage=Usage(input=1200, cached_input=1000, output=34, reasoning=30, cost_usd=0.0123)),
            "cut at the limit of its length · 1,200 in (1,000 cached) · 34 out (30 thinking) · $0.0123",
        ),
        (Shown(standing=Standing.DONE, usage=Usage(output=5, source=UsageSource.ESTIMATED)), "about 5 out"),
        (Shown(standing=Standing.CANCELLED, counted=1), "cancelled · 1 token"),
        (Shown(standing=Standing.DONE, finish="a word of tomorrow"), "a word of tomorrow"),
    ],
)  # fmt: skip
def test_figures_tell_what_is_known(shown: Shown, line: str) -> None:
    assert figures(shown) == line


def test_thoughts_tell_how_long_they_took() -> None:
    assert thought(Shown(standing=Standing.THINKING, thought_s=3.21)) == "Thinking… 3.2 s"
    assert thought(Shown(standing=Standing.DONE, thought_s=131.0)) == "Thought for 2 min 11 s"
    assert [seconds(value) for value in (0.04, 9.94, 119.4)] == ["0.0 s", "9.9 s", "119 s"]


def test_a_simulators_options_are_no_part_of_its_name() -> None:
    assert short("simulator/sim:tps=1,ttft=2") == "simulator/sim"
    assert short("local/llama3:8b") == "local/llama3:8b"


@pytest.mark.parametrize("harm", ["\x1b]52;c;aGk=\x07", "\x9b2J", "\u202e", "\u2066", "\x00", "\r", "\x7f", "\u2028"])
def test_what_a_model_says_moves_no_cursor_and_turns_no_text(harm: str) -> None:
    assert set(harm) & set("\x1b\x07\x9b\u202e\u2066\x00\r\x7f\u2028")
    left = harmless(f"a{harm}b\tc\n")
    assert left.startswith("a")
    assert left.endswith("b\tc\n")
    assert not set(left) & set("\x1b\x07\x9b\u202e\u2066\x00\r\x7f\u2028")


def test_what_utf_8_cannot_hold_is_replaced() -> None:
    assert harmless("\ud800x").encode() == "\ufffdx".encode()


def test_words_of_any_script_and_emoji_stay() -> None:
    text = "שלום عربي 中文 👩🏽‍💻 e\u0301"
    assert harmless(text) == text


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n\tb \x1b[31mc ", 20) == "a b [31mc"
    assert one_line("word " * 50, 10) == "word word…"


def test_matching_finds_words_before_letters() -> None:
    names = ["openai/gpt-4.1", "openai/gpt-4.1-mini", "anthropic/claude-opus", "xai/grok-4"]
    assert fitting("mini", ((name, name) for name in names)) == ["openai/gpt-4.1-mini"]
    assert fitting("gp mini", ((name, name) for name in names)) == ["openai/gpt-4.1-mini"]
    assert fitting("clop", ((name, name) for name in names)) == ["anthropic/claude-opus"]
    assert fitting("GROK", ((name, name) for name in names)) == ["xai/grok-4"]
    assert rank("rok", "xai/grok-4") == 1
    assert rank("zzz", "xai/grok-4") is None
    assert rank("", "anything") == 0


ERROR = ConnectionStatus(state=ConnectionState.ERROR, reason="it will not start", advice="mend it")


def test_without_a_key_the_notice_says_what_to_set_and_offers_a_simulator() -> None:
    head, offer, rest = notice(ERROR, 0.0, ("A_KEY", "B_KEY"), offers=True)
    assert "No provider is configured" in head
    assert "Enter" in offer
    assert "A_KEY, B_KEY" in rest
    assert "rxlapce init" in rest


def test_with_a_key_the_notice_tells_what_is_wrong() -> None:
    lines = notice(ERROR, 0.0, (), offers=False)
    assert lines[1:] == ("it will not start.", "Mend it.")
    lost = ConnectionStatus(state=ConnectionState.DISCONNECTED, reason="nobody there")
    assert notice(lost, 0.0, (), offers=False)[1:] == ("nobody there.",)


@pytest.mark.parametrize("state", [ConnectionState.CONNECTED, ConnectionState.CONNECTING])
def test_no_notice_while_nothing_is_wrong(state: ConnectionState) -> None:
    assert notice(ConnectionStatus(state=state), 0.5, ("A_KEY",), offers=True) == ()
    assert notice(None, 9.0, ("A_KEY",), offers=True) == ()


def test_without_a_key_the_notice_does_not_wait_for_the_daemon_to_fail() -> None:
    starting = ConnectionStatus(state=ConnectionState.CONNECTING)
    assert "No provider is configured" in notice(starting, 1.5, ("A_KEY",), offers=True)[0]
    assert notice(starting, 1.5, (), offers=True) == ()


@pytest.mark.parametrize(
    ("answer", "dark"),
    [
        ("\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\\x1b[?62c", True),
        ("\x1b]11;rgb:ff/ff/ff\x07", False),
        ("\x1b]11;rgba:ffff/ffff/dddd/ffff\x1b\\", False),
        ("\x1b[?62c", None),
        ("", None),
    ],
)
def test_a_terminal_tells_its_background(answer: str, dark: bool | None) -> None:
    assert dark_colour(answer) is dark
    assert typed_in(f"so\r{answer}\x1b[A") == "so\r\x1b[A"


@pytest.mark.parametrize("cut", ["\x1b]11;", "\x1b]11;rgb:1e1e/1e", "\x1b]11;rgb:1e1e/1e1e/1e1e\x1b", "\x1b[?62;"])
def test_an_answer_that_is_cut_is_not_typed(cut: str) -> None:
    assert typed_in(f"so{cut}") == "so"


def test_theme_is_the_terminals_own_where_it_says_nothing_or_has_few_colours() -> None:
    many = {"TERM": "xterm-256color"}
    assert [theme(many, dark) for dark in (True, False, None)] == ["textual-dark", "rxlapce-light", "ansi-dark"]
    assert [theme({"TERM": "xterm"}, dark) for dark in (True, False)] == ["ansi-dark", "ansi-light"]
