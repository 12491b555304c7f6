"""`rxlapce doctor`: what is wrong, and how to mend it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

import rxlapce
from rxlapce.cli import doctor_setup as setup
from rxlapce.cli import doctor_system as system
from rxlapce.cli.doctor_facts import Check, Facts, Finding, Level, facts_here, ok, problem, warning
from rxlapce.cli.loop import run
from rxlapce.cli.options import config_option, first_key, key_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.cli.status import greeting
from rxlapce.cli.status_view import unwell
from rxlapce.errors import DaemonNotRunning, RxlapceError


def daemon(facts: Facts) -> Iterator[Finding]:
    """Whether a daemon runs, is the version of this command, and is well."""
    try:
        server, report = run(greeting(facts.path, first_key(facts.key_file)))
    except DaemonNotRunning:
        yield warning(f"none runs at {facts.path}", "start it: rxlapce serve")
        return
    except RxlapceError as error:
        yield problem(f"it cannot be asked: {error}", "stop it, and start it anew: rxlapce serve --replace")
        return
    if server != f"rxlapce/{rxlapce.__version__}":
        said = f"{server} runs, and this is rxlapce/{rxlapce.__version__}"
        yield warning(said, "let the new one take its place: rxlapce serve --replace")
    reasons = unwell(report)
    for reason in reasons:
        yield warning(reason, "see rxlapce status -v, and the daemon's log")
    if not reasons:
        yield ok(f"{server} runs and is well, with {report.connections - 1} clients")


#: In the order in which they are told: what the later ones rest on comes first.
CHECKS: Final[Mapping[str, Check]] = {
    "python": system.python,
    "packages": system.packages,
    "shared memory": system.shared_memory,
    "runtime folder": system.runtime_dir,
    "socket path": system.socket_path,
    "socket": system.stale_socket,
    "daemon": daemon,
    "open files": system.open_files,
    "service": system.service,
    "disk": system.disk,
    "terminal": system.terminal,
    "config": setup.config,
    "providers": setup.providers,
    "extras": setup.extras,
    "key files": setup.key_files,
    "proxies": setup.proxies,
}
ONLINE: Final[Mapping[str, Check]] = {"online": setup.online}
_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command()
@config_option
@key_option
@click.option("--path", type=click.Path(path_type=Path), help="The daemon's socket.  [default: the user's own]")
@click.option("--online", is_flag=True, help="Ask the providers too, and for the time. Nothing of it is billed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, for machines.")
def doctor(config: Path | None, key_file: Path | None, path: Path | None, online: bool, as_json: bool) -> None:
    """Say what is wrong, and how to mend it.

    Looks at this machine, the configuration and the daemon, and changes nothing. The exit code is 1 if there is a
    problem: something that does not work. A warning may be as it is meant to be.
    """
    checks = {**CHECKS, **ONLINE} if online else CHECKS
    counts = dict.fromkeys(Level, 0)
    for name, finding in examined(facts_here(path, config, key_file), checks):
        counts[finding.level] += 1
        for line in _told(name, finding, as_json=as_json):
            click.echo(line)
    if not as_json:
        told = ", ".join(f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in list(Level)[:0:-1])
        click.echo(f"\n{told}, {counts[Level.OK]} ok")
    if counts[Level.PROBLEM]:
        raise click.exceptions.Exit(1)


def examined(facts: Facts, checks: Mapping[str, Check]) -> Iterator[tuple[str, Finding]]:
    """What the checks find, as they find it. One that fails itself hides no other."""
    for name, check in checks.items():
        try:
            for finding in check(facts):
                yield name, finding
        except Exception as error:  # noqa: BLE001 - a check is the last that may end the search for what is wrong
            said = f"the check itself failed: {type(error).__name__}: {error}"
            yield name, problem(said, "report it, with this line")


def _told(name: str, finding: Finding, *, as_json: bool) -> list[str]:
    if as_json:
        return [json_line({"check": name, "level": finding.level, "said": finding.said, "remedy": finding.remedy})]
    lines = [f"{click.style(f'{finding.level:8}', fg=_COLOURS[finding.level])} {name}: {printable(finding.said)}"]
    if finding.remedy:
        lines.append(f"         -> {printable(finding.remedy)}")
    return lines
