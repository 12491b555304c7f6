"""`rxlapce` itself: the list of commands, misuse, and what starting it costs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click
import pytest
from click.shell_completion import BashComplete

import rxlapce
from rxlapce.cli import main as entry
from rxlapce.cli.main import COMMANDS, cli
from rxlapce.errors import ConfigError


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_lists_every_command_and_loads_none(record_property: Callable[[str, object], None]) -> None:
    program = (
        "import json, sys\n"
        "from rxlapce.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print(json.dumps([end.code, sorted(sys.modules)]))\n"
    )
    started = time.perf_counter()
    done = run_python(program)
    record_property("help_took_s", round(time.perf_counter() - started, 2))
    *shown, last = done.stdout.splitlines()
    code, modules = json.loads(last)
    assert (code, done.stderr) == (0, "")
    for name, (_, text) in COMMANDS.items():
        line = next(line for line in shown if line.split()[:1] == [name])
        assert text.startswith(line.split(maxsplit=1)[1])
    loaded = {name for name in modules if name.startswith("rxlapce.cli.")}
    assert loaded == {"rxlapce.cli.main"}
    assert not {"aiohttp", "rich", "uvloop", "structlog"} & set(modules)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_tells_its_use(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: rxlapce {name} ")


@pytest.mark.heavy
def test_short_help_flag_works_everywhere() -> None:
    # In a process of its own: click remembers the flags by which a command object was first asked.
    program = (
        "from rxlapce.cli.main import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    try: main([name, '-h'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
    )
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: rxlapce ") == len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_that_is_shown_says_what_it_is_for(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.name == name
    options = [one for one in found.params if isinstance(one, click.Option) and not one.hidden]
    assert [one.opts for one in options if not one.help] == []


def test_version_is_the_package_s(command: Command) -> None:
    assert command("--version").out == f"rxlapce {rxlapce.__version__}\n"


def test_without_a_command_the_help_is_shown_as_a_misuse(command: Command) -> None:
    done = command()
    assert done.code == 2
    assert "Commands:" in done.err


@pytest.mark.parametrize(("typed", "meant"), [("serv", "serve"), ("chta", "chat"), ("provider", "providers")])
def test_unknown_command_suggests_the_nearest(command: Command, typed: str, meant: str) -> None:
    done = command(typed)
    assert done.code == 2
    assert f"No such command {typed!r}. Did you mean {meant!r}?" in done.err


def test_unknown_command_that_is_near_to_none_suggests_nothing(command: Command) -> None:
    done = command("xyzzy")
    assert done.code == 2
    assert "Did you mean" not in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_flag_is_a_misuse(command: Command, name: str) -> None:
    done = command(name, "--no-such-flag")
    assert (done.code, done.out) == (2, "")
    assert "--no-such-flag" in done.err


def test_ctrl_c_is_exit_code_130_without_a_word(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.cli, "main", interrupt)
    done = command("demo")
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_error_is_coloured_only_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: dict[str, str], coloured: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("it is wrong")

    monkeypatch.setattr(entry.cli, "main", fail)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        entry.main([])
    said = capsys.readouterr().err
    assert ("\x1b[" in said) is coloured
    assert click.unstyle(said) == "Error: it is wrong\n"


# -- completion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(command: Command, shell: str) -> None:
    done = command("completion", shell)
    assert done.code == 0
    assert f"_RXLAPCE_COMPLETE={shell}_complete" in done.out


def test_bash_takes_its_completion_script(command: Command, tmp_path: Path) -> None:
    script = tmp_path / "rxlapce.bash"
    script.write_text(command("completion", "bash").out)
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    checked = subprocess.run([bash, "-n", str(script)], capture_output=True, text=True, timeout=10, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_completion_for_another_shell_is_a_misuse_that_lists_the_known(command: Command) -> None:
    done = command("completion", "tcsh")
    assert done.code == 2
    assert "'bash', 'zsh', 'fish'" in done.err


def test_options_of_a_command_are_completed() -> None:
    found = BashComplete(cli, {}, "rxlapce", "_RXLAPCE_COMPLETE").get_completions(["demo"], "--lo")
    assert [item.value for item in found] == ["--local-model"]


def test_completing_a_command_s_name_loads_none() -> None:
    done = run_python(
        "import atexit, sys; from rxlapce.cli.main import main\n"
        "atexit.register(lambda: print(*(m for m in sys.modules if m.startswith('rxlapce.cli.')), file=sys.stderr))\n"
        "main()",
        _RXLAPCE_COMPLETE="bash_complete",
        COMP_WORDS="rxlapce de",
        COMP_CWORD="1",
    )
    assert done.stdout.split() == ["plain,demo", "plain,decode"]
    assert done.stderr.split() == ["rxlapce.cli.main"]
