"""`rxlapce crashtest`: whether answers survive their provider, shown over real sockets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rxlapce.cli.loop import run
from rxlapce.cli.screen import json_line
from rxlapce.operators.legs import AfterCommit

if TYPE_CHECKING:
    from rxlapce.crashtest.cases import Case
    from rxlapce.crashtest.setup import Setup


@click.command()
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Your own configuration instead of the built-in one.")  # fmt: skip
@click.option("--case", "names", metavar="NAME", multiple=True, help="Run this case alone; repeatable.")
@click.option("--list", "listing", is_flag=True, help="Name the cases, and run none.")
@click.option("--within", "within_s", metavar="SECONDS", type=click.FloatRange(0, min_open=True), default=60.0,
              show_default=True, help="The most that one answer, or its error, may take.")  # fmt: skip
@click.option("--after-commit", type=click.Choice([policy.value for policy in AfterCommit]),
              help="What becomes of answers that break off, whatever is configured.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A JSON list of the results on standard output.")
@click.argument("model", required=False)
def crashtest(
    config: Path | None,
    names: tuple[str, ...],
    listing: bool,
    within_s: float,
    after_commit: str | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Let simulated providers fail in every way, and see what becomes of the answers.

    Each case has two simulated providers, a daemon and a client of its own, on real sockets and shared memory. An
    answer must come whole or end in one clear error; nothing may be doubled, missing or left behind. Takes a minute and
    a half. The exit code is 1 if a case fails.

    With --config it is your own file that is tested: its retries, timeouts, limits and MODEL, one of its names for
    models or PROVIDER/MODEL (default: its first name). All of its providers are simulated: no key is needed, and
    nothing leaves this machine.
    """
    from rxlapce.crashtest.cases import BY_NAME, CASES  # the whole daemon and its HTTP client, for half a second

    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise click.BadParameter(f"no case {unknown[0]!r}: see --list", param_hint="--case")
    if model is not None and config is None:
        raise click.UsageError("MODEL is a name of a configuration: give its file by --config")
    chosen = [case for case in CASES if not names or case.name in names]
    if listing:
        _list(chosen, as_json=as_json)
    elif not _passed(chosen, _setup(config, model, after_commit, within_s), as_json=as_json):
        raise click.exceptions.Exit(1)


def _list(cases: "list[Case]", *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line([{"case": case.name, "about": case.about} for case in cases]))
        return
    width = max(len(case.name) for case in cases)
    for case in cases:
        click.echo(f"{case.name:<{width}}  {case.about}")


def _setup(config: Path | None, model: str | None, after_commit: str | None, within_s: float) -> "Setup":
    from rxlapce.crashtest.setup import built_in, of_file

    after = None if after_commit is None else AfterCommit(after_commit)
    if config is None:
        return built_in(after=after, within_s=within_s)
    return of_file(config, model, after=after, within_s=within_s)


def _passed(cases: "list[Case]", setup: "Setup", *, as_json: bool) -> bool:
    """Run the cases and show them; whether none failed."""
    from rxlapce.cli.crashtest_view import progress_view, show_table
    from rxlapce.crashtest.run import run_cases
    from rxlapce.crashtest.verdict import Verdict

    with progress_view(cases, on_stderr=as_json) as view:
        results = run(run_cases(cases, setup, on_start=view.start, on_end=view.end))
    if as_json:
        click.echo(json_line([result.record() for result in results]))
        sys.stdout.flush()
    else:
        show_table(results, setup)
    return all(result.verdict is not Verdict.FAIL for result in results)
