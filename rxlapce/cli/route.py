"""`rxlapce route`: who would be asked, in which order, and why; nothing is sent."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rxlapce.cli.options import config_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import validate_provider_configs
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.needs import ANSWER_TOKENS, Needs
from rxlapce.routing.router import Plan, PlannedRoute, Router
from rxlapce.routing.settings import Quota, StreamTimeouts

_FRESH = "Decided as by a daemon that has just started: nothing is known of the providers' health, and nothing runs."


@click.command()
@config_option
@click.option("--explain", is_flag=True, help="Say why, by which limits, and what happens after a failure.")
@click.option("--image", is_flag=True, help="For a request with pictures.")
@click.option("--tools", is_flag=True, help="For a request with tools.")
@click.option("--tokens", type=click.IntRange(1), metavar="N", help="For a prompt of N tokens.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="For an answer of at most N tokens.")
@click.option("--default-provider", metavar="NAME", help="Who answers a model name without PROVIDER/ in front.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all that --explain says.")
@click.argument("model")
def route(
    config: Path | None,
    explain: bool,
    image: bool,
    tools: bool,
    tokens: int | None,
    max_tokens: int | None,
    default_provider: str | None,
    as_json: bool,
    model: str,
) -> None:
    """Say who would be asked for MODEL, an alias or PROVIDER/MODEL, and who next if that fails.

    Nothing is sent. A name that nobody has, or a request that none of an alias's models takes, is an error that says
    why, and the exit code is 1.
    """
    configured = load_config(os.environ, config)
    validate_provider_configs(configured.providers)
    if default_provider is not None and default_provider not in configured.providers:
        names = ", ".join(configured.providers)
        raise ConfigError(f"--default-provider: {default_provider!r} is not configured; configured: {names}")
    router = Router(configured.providers, default_provider, aliases=configured.aliases)
    needs = Needs(
        images=image,
        tools=tools,
        prompt_tokens=tokens or 0,
        answer_tokens=max_tokens or (ANSWER_TOKENS if tokens is not None else 0),
        answer_is_bounded=max_tokens is not None,
    )
    plan = router.plan(model, needs)
    if as_json:
        click.echo(json_line(_record(plan, configured)))
        return
    click.echo(printable(f"{model} -> {', then '.join(planned.route.name for planned in plan.routes)}"))
    if explain:
        _explain(plan, configured)


def _record(plan: Plan, configured: Config) -> dict[str, object]:
    """What `--json` prints."""
    policy = _policy(plan, configured)
    timeouts = _timeouts(plan, configured)
    return {
        "name": plan.name,
        "alias": plan.alias is not None,
        "choose": None if plan.alias is None else plan.alias.choose,
        "routes": [
            {
                "model": planned.route.name,
                "base_url": planned.route.provider.base_url,
                "api": _api(planned),
                "why": planned.why,
                "accepts_prefill": _prefill(planned),
                "quota": _limits(_quota(planned, configured)),
            }
            for planned in plan.routes
        ],
        "left_out": [{"model": target.model, "why": why} for target, why in plan.left_out],
        "after_commit": policy.after_commit,
        "on_content_filter": policy.on_content_filter,
        "timeouts": {name: getattr(timeouts, name) for name in timeouts.__slots__},
        "state": "fresh",
    }


def _explain(plan: Plan, configured: Config) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "MODEL", "ASKED AT", "BY", "QUOTA", "WHY"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("", "MODEL"))
    for place, planned in enumerate(plan.routes, 1):
        limits = ", ".join(_limits(_quota(planned, configured))) or "none"
        asked_at = planned.route.provider.base_url
        cells = (str(place), planned.route.name, asked_at, _api(planned) or "-", limits, planned.why)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    for target, why in plan.left_out:
        table.add_row(Text("-"), Text(target.model, "dim"), "", "", "", Text(f"left out: {why}", "dim"))
    click.echo(printable(plan.how + "."))
    # As wide as it is where nobody sees it: a pipe has no columns.
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(soft_wrap=False, width=200)
    console.print(table)
    for line in _what_then(plan, configured):
        click.echo(line)
    click.secho(_FRESH, dim=True)


def _what_then(plan: Plan, configured: Config) -> Iterator[str]:
    """The time limits, and what follows a failure, a sentence a line."""
    settings, policy, timeouts = configured.settings, _policy(plan, configured), _timeouts(plan, configured)
    times = {name.removesuffix("_s").replace("_", " "): getattr(timeouts, name) for name in timeouts.__slots__}
    times.pop("rate window")
    floor = times.pop("min tokens per")
    told = [f"{name} {limit:g} s" for name, limit in times.items() if limit is not None]
    told += [] if floor is None else [f"at least {floor:g} tokens/s"]
    yield f"Time limits of an attempt: {', '.join(told) or 'none'}."
    retry = settings.retry
    deadline = "" if retry.deadline_s is None else f" within {retry.deadline_s:g} s"
    patience = f" ({settings.patience_s:g} s while another model is left)" if len(plan.routes) > 1 else ""
    yield f"Before the first token: up to {retry.max_attempts} attempts{deadline}{patience}, then the next model."
    going_on = ", ".join(f"{p.route.name} {'goes on' if _prefill(p) else 'is asked to go on'}" for p in plan.routes[1:])
    after = {
        "fail": "the answer ends in an error that says how much was delivered",
        "continue": f"the next model goes on with the answer ({going_on})" if going_on else "there is nobody to go on",
        "restart": "the next model begins the answer anew",
    }
    yield f"After it ({policy.after_commit}): {after[policy.after_commit.value]}."


def _policy(plan: Plan, configured: Config) -> FallbackPolicy:
    return (plan.alias and plan.alias.fallback) or configured.settings.fallback


def _timeouts(plan: Plan, configured: Config) -> StreamTimeouts:
    return (plan.alias and plan.alias.timeouts) or configured.settings.timeouts


def _quota(planned: PlannedRoute, configured: Config) -> Quota:
    return configured.settings.admission.of(planned.route.provider.name, planned.route.model)[1]


def _limits(quota: Quota) -> list[str]:
    """The quota in words; none of no limit."""
    words = ((quota.requests, "requests/min"), (quota.tokens, "tokens/min"), (quota.streams, "at once"))
    said = [f"{number:,} {word}" for number, word in words if number is not None]
    return [*said, "with all its provider's models"] if said and quota.shared else said


def _api(planned: PlannedRoute) -> str | None:
    """The API that a conversation is asked by."""
    provider, model = planned.route.provider, planned.route.model
    return provider.api_of(model) or next(iter(provider.apis), None)


def _prefill(planned: PlannedRoute) -> bool:
    """Whether the model goes on with the beginning of an answer."""
    if planned.target.prefill is not None:
        return planned.target.prefill
    request = ChatRequest(model=planned.route.name, messages=(Message(role="user", content="-"),))
    return planned.route.provider.api(request, planned.route.model).accepts_prefill(planned.route.model)
