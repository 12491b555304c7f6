"""`rxlapce service`: the daemon as a service of this user."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from rxlapce.cli import service_units as units
from rxlapce.errors import ConfigError

_OPTIONS_HELP: Final = "What stands behind -- are options of `rxlapce serve`, with absolute paths."


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """A service manager: its units for this user, and the commands that make it read, start, end and show them."""

    program: str
    folder: Path
    files: Mapping[str, bytes]
    begin: Sequence[Sequence[str]]
    end: Sequence[Sequence[str]]
    forget: Sequence[Sequence[str]]
    """After the files have gone."""
    look: Sequence[str]


def systemd(options: Sequence[str]) -> Manager:
    """Systemd's manager of this user. `options` are those of `rxlapce serve`."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    chosen = os.environ.get("RXLAPCE_SOCKET")
    path = chosen.replace("%", "%%") if chosen else units.USUAL_SOCKET
    command = [*program(), "serve", "--drain", str(units.DRAIN_S), *options]
    ask = ("systemctl", "--user")
    return Manager(
        program="systemctl",
        folder=config / "systemd" / "user",
        files={
            units.SERVICE: units.systemd_service(command).encode(),
            units.SOCKET: units.systemd_socket(path).encode(),
        },
        begin=((*ask, "daemon-reload"), (*ask, "enable", "--now", units.SOCKET)),
        end=((*ask, "disable", "--now", units.SOCKET, units.SERVICE),),
        forget=((*ask, "daemon-reload"),),
        look=(*ask, "--no-pager", "--full", "status", units.SOCKET, units.SERVICE),
    )


def launchd(options: Sequence[str]) -> Manager:
    """Launchd's domain of this user's login."""
    folder = Path.home() / "Library" / "LaunchAgents"
    log = Path.home() / "Library" / "Logs" / "rxlapce.log"
    command = [*program(), "serve", "--drain", str(units.DRAIN_S), "--log-file", str(log), *options]
    domain, name = f"gui/{os.getuid()}", f"{units.LABEL}.plist"
    return Manager(
        program="launchctl",
        folder=folder,
        files={name: units.launchd_agent(command)},
        begin=(("launchctl", "bootstrap", domain, str(folder / name)),),
        end=(("launchctl", "bootout", f"{domain}/{units.LABEL}"),),
        forget=(),
        look=("launchctl", "print", f"{domain}/{units.LABEL}"),
    )


MANAGERS: Final = {"systemd": systemd, "launchd": launchd}


def program() -> list[str]:
    """How this installation's command is started, whatever PATH its service will have."""
    beside = Path(sys.executable).with_name("rxlapce")  # not resolved: a virtual environment's Python is a link
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-m", "rxlapce"]


manager_option = click.option(
    "--for", "name", type=click.Choice(list(MANAGERS)), default="launchd" if sys.platform == "darwin" else "systemd",
    show_default=True, help="The service manager.",
)  # fmt: skip
serve_options = click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVE_OPTIONS...]")


@click.group()
def service() -> None:
    """Run the daemon as a service of this user.

    It then starts at the first connection (systemd) or at login (launchd), is started anew after a crash, and is
    watched. Keys go into ~/.config/rxlapce/env, one NAME=value a line, with mode 0600.
    """


@service.command(epilog=_OPTIONS_HELP)
@manager_option
@serve_options
def show(name: str, options: tuple[str, ...]) -> None:
    """Print the units for this installation."""
    made = _made(name, options)
    for file, content in made.files.items():
        if len(made.files) > 1:
            click.echo(f"# {made.folder / file}")
        click.echo(content.decode())


@service.command(epilog=_OPTIONS_HELP)
@manager_option
@click.option("--now", is_flag=True, help="Start it, too.")
@serve_options
def install(name: str, now: bool, options: tuple[str, ...]) -> None:
    """Write the units, and say how to start them. An installation that is there is replaced."""
    made = _made(name, options)
    _require(made)
    for file, content in made.files.items():
        _write(made.folder / file, content)
        click.echo(f"wrote {made.folder / file}", err=True)
    if now:
        for command in made.begin:
            _run(command)
        return
    click.echo("Start it:", err=True)
    for command in made.begin:
        click.echo(shlex.join(command))


@service.command()
@manager_option
def uninstall(name: str) -> None:
    """Stop the service and remove its units. Keys and logs stay."""
    made = _made(name, ())
    _require(made)
    there = [path for file in made.files if (path := made.folder / file).exists()]
    if not there:
        raise ConfigError(f"no service is installed in {made.folder}")
    for command in made.end:
        _run(command, may_fail=True)  # it is not running, or was never started
    for path in there:
        path.unlink()
        click.echo(f"removed {path}", err=True)
    for command in made.forget:
        _run(command, may_fail=True)


@service.command()
@manager_option
def status(name: str) -> None:
    """Show what the service manager says. `rxlapce status` asks the daemon itself."""
    made = _made(name, ())
    _require(made)
    code = subprocess.run(made.look, check=False).returncode  # noqa: S603 - of the table above
    raise click.exceptions.Exit(code)


def _made(name: str, options: Sequence[str]) -> Manager:
    from rxlapce.cli.serve import serve  # 0.2 s that `--help` and `status` do not pay

    if options:
        with serve.make_context("rxlapce serve", list(options)):
            pass  # it raises for what is no option of serve
    return MANAGERS[name](options)


def _require(made: Manager) -> None:
    if shutil.which(made.program) is None:
        raise ConfigError(
            f"there is no {made.program} here, so nothing would start the service: let what starts your session run "
            "`rxlapce serve`, or see `rxlapce service show`"
        )


def _write(path: Path, content: bytes) -> None:
    """Put a whole file there, or leave what was there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(content)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _run(command: Sequence[str], *, may_fail: bool = False) -> None:
    done = subprocess.run(command, check=False)  # noqa: S603 - of the table above
    if done.returncode and not may_fail:
        raise ConfigError(f"`{shlex.join(command)}` failed with exit code {done.returncode}")
