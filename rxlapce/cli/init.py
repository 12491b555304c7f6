"""`rxlapce init`: a first configuration, from what is there."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from rxlapce.cli.init_file import ALIAS, Choices, written
from rxlapce.cli.init_found import SERVERS, Found, by_variables, not_again, servers
from rxlapce.cli.loop import run
from rxlapce.cli.screen import printable
from rxlapce.config.check import problems_of
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.file import default_config_file
from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.vault.private_file import NotPrivate, replace_private

#: So many models are proposed for a name.
_PROPOSED: Final = 3


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Ask nothing, and take what is proposed.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--no-probe", is_flag=True, help="Do not look for servers of models on this machine.")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True, dir_okay=False))
def init(*, yes: bool, force: bool, no_probe: bool, file: Path | None) -> None:
    """Write a first configuration to FILE; - is standard output.

    Looks for providers in the environment and for servers of models on this machine (Ollama, LM Studio, llama.cpp,
    vLLM), asks what it cannot know, and writes a file with comments, for you to change. No key is read or written.

    FILE is by default config.yaml in $XDG_CONFIG_HOME/rxlapce, or in ~/.config/rxlapce.
    """
    path = file or default_config_file(os.environ)
    asks = not yes and sys.stdin.isatty()
    if not (yes or asks):
        raise click.UsageError("standard input is no terminal, so nothing can be asked: add --yes")
    if str(path) != "-" and path.exists() and not force and not (asks and _may_replace(path)):
        raise ConfigError(f"{path} is there already: --force replaces it, and another FILE leaves it")
    found = _found(probe=not no_probe)
    _tell_found(found)
    proposed = Choices(models=tuple(each.model for each in found if each.model is not None)[:_PROPOSED])
    choices = _asked(found, proposed) if asks else proposed
    text = written(found, choices)
    wrong = problems_of(text, str(path))
    if wrong:  # a model's or a server's name that no file can hold
        raise ConfigError("\n".join(map(str, wrong)), wrong)
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    _write(path, text)
    _tell_next(path, found, choices)


def _may_replace(path: Path) -> bool:
    return click.confirm(printable(f"{path} is there already. Replace it?"), default=False, err=True)


def _found(*, probe: bool) -> list[Found]:
    configured = list(load_provider_configs_from_env(os.environ).values())
    found = by_variables(os.environ)
    return [*found, *not_again(run(servers(SERVERS)), configured)] if probe else found


def _tell_found(found: Sequence[Found]) -> None:
    if not found:
        click.echo("found nobody who could be asked", err=True)
    for each in found:
        models = f", {len(each.models)} models" if each.base_url is not None else ""
        click.secho(f"found {each.name}", bold=True, nl=False, err=True)
        click.echo(printable(f": {each.origin}{models}"), err=True)


def _asked(found: Sequence[Found], proposed: Choices) -> Choices:
    """What the user wants instead of what is proposed."""
    if not found:
        return proposed
    models = click.prompt(
        f"Models that {ALIAS!r} stands for, in the order in which they are asked (PROVIDER/MODEL, ...)",
        default=", ".join(proposed.models) or None,
        value_proc=lambda said: _models(said, found),
        err=True,
    )
    goes_on = proposed.goes_on
    if len(models) > 1:
        goes_on = click.confirm("When an answer breaks off, shall the next model go on with it?", goes_on, err=True)
    requests = click.prompt(
        "Requests a minute to each model (0: no limit)",
        default=proposed.requests,
        type=click.IntRange(0, 1_000_000),
        err=True,
    )
    return Choices(models=models, requests=requests, goes_on=goes_on)


def _models(said: str | tuple[str, ...], found: Sequence[Found]) -> tuple[str, ...]:
    """The models of an answer. Raises `click.UsageError`, after which click asks again."""
    names = [each.name for each in found]
    models = tuple(each.strip() for each in said.split(",") if each.strip()) if isinstance(said, str) else said
    for model in models:
        provider, slash, name = model.partition("/")
        if not slash or not name or provider not in names:
            raise click.UsageError(f"{model!r} is no model of {' or '.join(names)}: write PROVIDER/MODEL")
    if not models or len(set(models)) < len(models):
        raise click.UsageError("one model or several, each once")
    return models


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_private(path, text.encode())
    except (OSError, NotPrivate) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} was not written: {said}") from None


def _tell_next(path: Path, found: Sequence[Found], choices: Choices) -> None:
    click.secho(printable(f"wrote {path}"), fg="green", err=True)
    if not found:
        wanted = ", ".join(spec.needs[0] for spec in list(SPECS.values())[:3])
        click.echo(f"Set a key such as {wanted}, or start a server of models, and run rxlapce init again.", err=True)
        click.echo("Without any of it:  rxlapce demo", err=True)
        return
    click.echo("Next:", err=True)
    click.echo(f"  rxlapce serve --config {shlex.quote(str(path))}", err=True)
    model = ALIAS if choices.models else f"{found[0].name}/MODEL"
    click.echo(f"  rxlapce chat -m {model} 'Hello'", err=True)
