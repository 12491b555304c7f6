"""A daemon's report as one screen of text."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

import rxlapce
from rxlapce.cli.figures import duration, fitted, size
from rxlapce.status import ClientStatus, ModelStatus, ProviderStatus, StatusReport, UserStatus

#: The last column stays free: some terminals begin a new line when it is written.
WIDTH: Final = 79
#: Models, and clients, that the screen has room for; the JSON has all.
MAX_SHOWN: Final = 12
#: Lines of a reason why the daemon is not well.
MAX_LINES: Final = 3
#: The share of its open files from which a daemon is not well.
FULL: Final = 0.9


def unwell(report: StatusReport) -> list[str]:
    """What is wrong with a daemon that runs, a sentence each; nothing if it is well."""
    reasons: list[str] = []
    if report.draining:
        reasons.append("it is stopping, and takes no new requests")
    if report.max_open_files and report.open_files >= FULL * report.max_open_files:
        reasons.append(f"{report.open_files} of {report.max_open_files} files are open: raise ulimit -n")
    if report.max_connections and report.connections >= report.max_connections:
        reasons.append(f"{report.connections} clients are connected, as many as it takes")
    if report.config is not None and report.config.error is not None:
        said = report.config.error.removeprefix(f"{report.config.file}:")  # which is told beside it
        reasons.append(f"the file was refused: {said}")
    reasons += (f"{one.name}: {one.reason or 'not well'}" for one in report.providers if one.usable is False)
    reasons += (
        f"{one.model}: its circuit is {one.breaker.replace('_', ' ')}: {one.cause}"
        for one in report.models
        if one.breaker != "closed"
    )
    return reasons


def summary(report: StatusReport) -> str:
    """The report as one line, of figures that a program can read too."""
    return (
        f"{'unwell' if unwell(report) else 'well'} requests={report.requests} "
        f"tokens_per_s={report.tokens_per_s:.1f} connections={report.connections} "
        f"memory_mib={report.memory_bytes / 1048576:.1f} open_files={report.open_files}"
    )


def screen(report: StatusReport, path: Path, *, verbose: bool = False) -> list[str]:
    """The lines, of at most `WIDTH` cells, with colours; `verbose` adds the clients, and who is the only user."""
    lines = [*_head(report, path), *_models(report.models), *_providers(report.providers)]
    if verbose:
        lines += [*_clients(report.clients), *_users(report.users)]
    elif len(report.users) > 1:
        lines += _users(report.users)
    return lines


def _head(report: StatusReport, path: Path) -> Iterator[str]:
    reasons = unwell(report)
    word, colour = ("is running, but not well", "yellow") if reasons else ("is running and well", "green")
    yield click.style("●", fg=colour) + click.style(f" rxlapce {report.version} {word}", bold=True)
    files = f"{report.open_files} of {report.max_open_files or 'any number of'} files"
    yield _fact("process", f"{report.pid}, up {duration(report.uptime_s)}, {size(report.memory_bytes)}, {files}")
    yield _fact("socket", str(path))
    yield _fact("clients", f"{report.connections} of {report.max_connections}")
    rate = f"{report.tokens_per_s:,.1f} tokens/s over the last {report.window_s:.0f} s"
    yield _fact("requests", f"{report.requests} under way, {rate}")
    if report.refused:
        told = ", ".join(f"{count} by {limit}" for limit, count in sorted(report.refused.items()))
        yield _fact("refused", f"{told}, since it started")
    if report.config is not None:
        yield _fact("config", f"{report.config.file}, loaded {duration(report.config.age_s)} ago")
    if report.version != rxlapce.__version__:
        why = f"it is {report.version} and this command is {rxlapce.__version__}: rxlapce serve --replace"
        yield click.style(_fact("version", why), fg="yellow")
    for reason in reasons:
        for number, line in enumerate(textwrap.wrap(reason, WIDTH - 10)[:MAX_LINES]):
            yield click.style(_fact("" if number else "unwell", line), fg="yellow")


def _fact(name: str, said: str) -> str:
    return f"{name:>8}{':' if name else ' '} {fitted(said, WIDTH - 10).rstrip()}"


def _models(models: tuple[ModelStatus, ...]) -> Iterator[str]:
    if not models:
        return
    yield ""
    yield _title(f"{'MODEL':41}{'RUN':>5}{'WAIT':>5}{'DONE':>7}{'FAIL':>6}{'FIRST':>8}{'TOK/S':>7}")
    for one in models[:MAX_SHOWN]:
        first = "-" if one.first_token_s is None else f"{one.first_token_s:.2f} s"
        line = (
            f"{fitted(one.model, 41)}{one.running:>5}{one.waiting:>5}{one.finished:>7}{one.failed:>6}"
            f"{first:>8}{one.tokens_per_s:>7.1f}"
        )
        yield line if one.breaker == "closed" else click.style(line, fg="yellow")
    yield from _more(len(models), "models")


def _providers(providers: tuple[ProviderStatus, ...]) -> Iterator[str]:
    if not providers:
        return
    yield ""
    yield _title(f"{'PROVIDER':18}{'HEALTH':12}BY")
    words = {True: ("well", "green"), False: ("not well", "yellow"), None: ("not known", "")}
    for one in providers:
        word, colour = words[one.usable]
        health = click.style(f"{word:12}", fg=colour or None)
        yield f"{fitted(one.name, 17)} {health}{fitted(one.origin or '', WIDTH - 30).rstrip()}"


def _clients(clients: tuple[ClientStatus, ...]) -> Iterator[str]:
    yield ""
    yield _title(f"{'CLIENT':31}{'USER':15}{'BY':>7}{'REQUESTS':>10}{'UNREAD':>10}")
    for one in clients[:MAX_SHOWN]:
        by = "signed" if one.signed and one.transport == "socket" else one.transport + ("*" if one.signed else "")
        unread = size(one.unread_bytes + one.ring_bytes)
        yield f"{fitted(one.client, 30)} {fitted(one.user, 14)} {by:>7}{one.requests:>10}{unread:>10}"
    yield from _more(len(clients), "clients")


def _users(users: tuple[UserStatus, ...]) -> Iterator[str]:
    if not users:
        return
    yield ""
    yield _title(f"{'USER':31}{'RUN':>6}{'ENDED':>10}{'REFUSED':>10}{'TOKENS':>14}")
    for one in users[:MAX_SHOWN]:
        yield f"{fitted(one.name, 30)} {one.requests:>6}{one.total:>10}{one.refused:>10}{one.tokens:>14,}"
    yield from _more(len(users), "users")


def _more(count: int, what: str) -> Iterator[str]:
    if count > MAX_SHOWN:
        yield click.style(f"and {count - MAX_SHOWN} more {what}: --json tells all", dim=True)


def _title(text: str) -> str:
    return click.style(text, bold=True)
