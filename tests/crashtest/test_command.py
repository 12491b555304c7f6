"""`rxlapce crashtest` as a command: what it prints, how it ends, and that nothing of it stays."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rxlapce.cli.main import main
from rxlapce.crashtest.cases import CASES

WriteConfig = Callable[[str], Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A fresh folder for temporary files, with a short path: a socket's has room for 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="rx"))
    yield made
    shutil.rmtree(made)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["crashtest", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_list_names_every_case_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--list")
    assert (code, err) == (0, "")
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [[case.name, case.about] for case in CASES]


def test_json_is_one_list_with_the_named_keys_first(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--json", "--case", "cut", "--case", "cut_fail")
    assert code == 0
    cut, cut_fail = json.loads(out)
    assert out.count("\n") == 1
    assert list(cut)[:6] == ["case", "verdict", "attempts_primary", "attempts_fallback", "wall_s", "model"]
    assert [cut[key] for key in list(cut)[:4]] == ["cut", "whole", 1, 1]
    assert (cut["model"], cut["finish"], cut["error"], cut["reason"]) == ("sim-second", "stop", None, None)
    assert len(cut["attempt_times_s_primary"]) == len(cut["attempt_times_s_fallback"]) == 1
    assert (cut_fail["verdict"], cut_fail["model"], cut_fail["finish"]) == ("clean_error", None, None)
    assert (cut_fail["error"]["kind"], cut_fail["error"]["delivered_chars"]) == ("truncated", cut_fail["text_chars"])
    assert "2/2 " in err


def test_table_says_verdict_attempts_and_what_the_caller_got(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--case", "400_context", "--case", "400_filter")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["CASE", "VERDICT", "FIRST", "FALLBACK", "SECONDS", "THE", "CALLER", "GOT"]
    assert lines[1].split()[:4] == ["400_context", "whole", "1", "at"]
    assert lines[1].rstrip().endswith("characters by sim-second")
    assert "content_filter: " in lines[2]
    assert lines[-1] == "2 cases: 1 whole, 1 clean error, 0 FAIL (openai/sim-first then anthropic/sim-second)"


def test_one_case_is_one_case(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--case", "400_context")
    assert "\n1 case: 1 whole, " in out


def test_a_failed_case_is_exit_code_1_with_the_reason(
    capsys: pytest.CaptureFixture[str], write_config: WriteConfig
) -> None:
    path = write_config("models: {slow: {ask: [openai/gpt-4.1, anthropic/claude-haiku-4-5]}}\n")
    code, out, _ = run(capsys, "slow", "--config", str(path), "--within", "0.3", "--case", "silence")
    assert code == 1
    assert "silence: it had not ended after 0.3 s" in out
    assert "0 whole, 0 clean error, 1 FAIL (openai/gpt-4.1 then anthropic/claude-haiku-4-5)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "nothing"], "no case 'nothing': see --list"),
        (["some/model"], "give its file by --config"),
        (["--within", "0"], "--within"),
        (["--after-commit", "pray"], "--after-commit"),
    ],
)
def test_misuse_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_wrong_file_is_told_with_its_place(capsys: pytest.CaptureFixture[str], write_config: WriteConfig) -> None:
    code, out, err = run(capsys, "--config", str(write_config("timeouts: {idle: 5}\n")))
    assert (code, out) == (1, "")
    assert "rxlapce.yaml:1:12: timeouts" in err


def test_after_commit_is_laid_over_what_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json", "--after-commit", "restart", "--case", "cut")
    (cut,) = json.loads(out)
    assert cut["text_chars"] == 247
    assert [seam.split(":")[0] for seam in cut["seams"]] == ["restart"]
    assert (code, cut["verdict"]) == (0, "whole"), "what the built-in configuration does is no measure then"


@pytest.mark.heavy
def test_ctrl_c_ends_all_cases_and_leaves_nothing(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTIBLE, "--case", "cut", "--case", "down", "--case", "slow_start"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(folder)}, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "cut: whole" in first
        assert len(list(folder.iterdir())) == 2, "the other two run"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, list(folder.iterdir())) == (130, [])
    assert "Traceback" not in err


#: A shell that starts a background job may have it ignore SIGINT, and its children with it.
_INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from rxlapce.cli.main import main
main(["crashtest", *sys.argv[1:]])
"""
