"""`rxlapce route`: who would be asked, in which order, and why; nothing is sent."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click

from rxlapce.cli.options import config_option
from rxlapce.cli.screen import json_line, printable
from rxlapce.config.env import validate_provider_configs
from rxlapce.config.overrides import with_rate_limit
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.pipeline.spec import DEFAULT, DEFAULT_STAGES, Pipeline, pipelines_of
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.needs import ANSWER_TOKENS, Needs
from rxlapce.routing.router import Plan, PlannedRoute, Router
from rxlapce.routing.settings import Quota, RoutingSettings, StreamTimeouts
from rxlapce.routing.ways import Asks

_FRESH: Final = (
    "Decided as by a daemon that has just started: nothing is known of the providers' health, and nothing runs."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One of the models that would be asked, as `--json` tells it; `key` names the key, where there are several.

    `quota` is what it may be asked a minute and at once, counted for `counted_for`, and `wait_s` how long a request
    waits for its turn. `accepts_prefill`: whether it goes on with an answer's beginning.
    """

    model: str
    key: str | None
    base_url: str
    api: str
    why: str
    accepts_prefill: bool
    quota: dict[str, int | None]
    counted_for: str
    wait_s: float

    @property
    def label(self) -> str:
        """The model, and the key where there are several."""
        return self.model if self.key is None else f"{self.model} by key {self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """The pipeline that a request goes, and by which of the file's `routes`, from 0; None for `default` by none."""

    pipeline: Pipeline
    route: int | None

    @property
    def own_options(self) -> dict[str, dict[str, object]]:
        """Of each stage the options that its pipeline gives it."""
        return {step.name: {name: getattr(step.options, name) for name in sorted(step.said)}
                for step in self.pipeline.stages if step.said}  # fmt: skip

    @property
    def missing(self) -> list[str]:
        """The stages that `default` has and this does not."""
        names = {step.name for step in self.pipeline.stages}
        return [name for name in DEFAULT_STAGES if name not in names and name not in ("decode", "token_map")]


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The aliases and providers that begin so; none where the configuration is wrong: who runs the command is told."""
    try:
        configured = load_config(os.environ, context.params.get("config"), resolve=False)
    except ConfigError:
        return []
    names = (*(alias.name for alias in configured.aliases), *(f"{name}/" for name in configured.providers))
    return [name for name in names if name.startswith(incomplete)]


@click.command()
@config_option
@click.option("--explain", is_flag=True, help="Say why, by which limits, and what happens after a failure.")
@click.option("--image", is_flag=True, help="For a request with pictures.")
@click.option("--tools", is_flag=True, help="For a request with tools.")
@click.option("--tokens", type=click.IntRange(1), metavar="N", help="For a prompt of N tokens.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="For an answer of at most N tokens.")
@click.option("--user", metavar="NAME", default="", help="For a request of this user, where routes tell users apart.")
@click.option("--client", metavar="NAME", default="", help="For a request by this program.")
@click.option("--completion", is_flag=True, help="For a completion, not a chat.")
@click.option("--default-provider", metavar="NAME", help="As of rxlapce serve.")
@click.option("--rate-limit", metavar="N", type=click.IntRange(0), envvar="RXLAPCE_RATE_LIMIT", show_envvar=True,
              help="As of rxlapce serve.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all that --explain says.")
@click.argument("model", shell_complete=_names)
def route(
    config: Path | None,
    explain: bool,
    image: bool,
    tools: bool,
    tokens: int | None,
    max_tokens: int | None,
    user: str,
    client: str,
    completion: bool,
    default_provider: str | None,
    rate_limit: int | None,
    as_json: bool,
    model: str,
) -> None:
    """Say who would be asked for MODEL, an alias or PROVIDER/MODEL, and who next if that fails.

    Nothing is sent. A name that nobody has, or a request that none of an alias's models takes, is an error that says
    why, and the exit code is 1.
    """
    configured = load_config(os.environ, config, resolve=False)
    validate_provider_configs(configured.providers)
    needs = Needs(
        images=image,
        tools=tools,
        prompt_tokens=tokens or 0,
        answer_tokens=max_tokens or (ANSWER_TOKENS if tokens is not None else 0),
        answer_is_bounded=max_tokens is not None,
    )
    router = _router(configured, default_provider)
    plan = _plan(router, model, needs)
    asks = Asks.COMPLETE if completion else Asks.CHAT
    gone = _gone(configured, router.names_of(model), Exchange(user=user, client=client), asks)
    settings = configured.settings if rate_limit is None else with_rate_limit(configured.settings, rate_limit)
    if as_json:
        click.echo(json_line(_record(plan, settings, gone)))
        return
    click.echo(printable(f"{model} -> {', then '.join(planned.route.label for planned in plan.routes)}"))
    if explain:
        _explain(plan, settings, gone)


def _router(configured: Config, default_provider: str | None) -> Router:
    if default_provider is not None and default_provider not in configured.providers:
        names = ", ".join(configured.providers)
        raise ConfigError(f"--default-provider: {default_provider!r} is not configured; configured: {names}")
    try:
        return Router(configured.providers, default_provider, aliases=configured.aliases)
    except ProviderError as error:
        raise ConfigError(error.message) from None


def _plan(router: Router, model: str, needs: Needs) -> Plan:
    try:
        return router.plan(model, needs)
    except ProviderError as error:
        raise ConfigError(error.message) from None


def _gone(configured: Config, names: Sequence[str], exchange: Exchange, asks: Asks) -> Gone:
    pipelines = pipelines_of(configured.pipelines, configured.settings)
    for place, rule in enumerate(configured.routes):
        if rule.takes.fits(names, exchange, asks):
            return Gone(pipeline=pipelines[rule.pipeline], route=place)
    return Gone(pipeline=pipelines[DEFAULT], route=None)


def _record(plan: Plan, settings: RoutingSettings, gone: Gone) -> dict[str, object]:
    """What `--json` prints."""
    policy = _policy(plan, settings)
    return {
        "name": plan.name,
        "alias": plan.alias is not None,
        "choose": None if plan.alias is None else plan.alias.choose,
        "routes": list(_explained(plan, settings)),
        "left_out": [{"model": target.model, "why": why} for target, why in plan.left_out],
        "user": _numbers(settings.admission.user),
        "client": _numbers(settings.admission.client),
        "after_commit": policy.after_commit,
        "on_content_filter": policy.on_content_filter,
        "timeouts": asdict(_timeouts(plan, settings)),
        "pipeline": {
            "name": gone.pipeline.name,
            "route": gone.route,
            "stages": [step.name for step in gone.pipeline.stages],
            "own_options": gone.own_options,
            "sinks": [step.name for step in gone.pipeline.sinks],
        },
        "state": "fresh",
    }


def _explained(plan: Plan, settings: RoutingSettings) -> Iterator[Explained]:
    admission = settings.admission
    for place, planned in enumerate(plan.routes, 1):
        provider, model = planned.route.provider, planned.route.model
        counted_for, quota = admission.of(provider.name, model, provider.key)
        others_left, keys_left = plan.left_after(place - 1)
        wait_s = min(admission.wait_s, settings.patience_s) if others_left else admission.wait_s
        yield Explained(
            model=planned.route.name,
            key=planned.route.key,
            base_url=provider.base_url,
            api=provider.api_of(model) or next(iter(provider.apis)),
            why=planned.why,
            accepts_prefill=_accepts_prefill(planned),
            quota=_numbers(quota),
            counted_for=counted_for,
            wait_s=0.0 if keys_left else wait_s,
        )


def _accepts_prefill(planned: PlannedRoute) -> bool:
    """What its target says, else what is known of the model where a conversation is asked for."""
    if planned.target.prefill is not None:
        return planned.target.prefill
    request = ChatRequest(model=planned.route.name, messages=(Message(role="user", content="-"),))
    api = planned.route.provider.api(request, planned.route.model)
    return api.continues_prompt or api.accepts_prefill(planned.route.model)


def _policy(plan: Plan, settings: RoutingSettings) -> FallbackPolicy:
    return (plan.alias and plan.alias.fallback) or settings.fallback


def _timeouts(plan: Plan, settings: RoutingSettings) -> StreamTimeouts:
    return (plan.alias and plan.alias.timeouts) or settings.timeouts


def _numbers(quota: Quota) -> dict[str, int | None]:
    return {"requests": quota.requests, "tokens": quota.tokens, "streams": quota.streams}


# -- for people -------------------------------------------------------------------------------------------------------

_HEADINGS: Final = ("", "MODEL", "ASKED AT", "API", "QUOTA", "PREFILL", "WHY")


def _explain(plan: Plan, settings: RoutingSettings, gone: Gone) -> None:
    routes = tuple(_explained(plan, settings))
    rows = [
        (str(place), one.label, one.base_url, one.api, _quota(one), "yes" if one.accepts_prefill else "no", one.why)
        for place, one in enumerate(routes, 1)
    ]
    rows += [("-", target.model, "", "", "", "", f"left out: {why}") for target, why in plan.left_out]
    click.echo(printable(plan.how + "."))
    _show([[printable(cell) for cell in row] for row in rows])
    for line in _what_then(routes, plan, settings):
        click.echo(printable(line))
    for line in _pipeline(gone):
        click.echo(printable(line))
    click.secho(_FRESH, dim=True)


def _show(rows: Sequence[Sequence[str]]) -> None:
    """The table, folded into a terminal's columns; elsewhere a row is a line, however long."""
    from rich.console import Console  # takes a tenth of a second to load
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        for row in (_HEADINGS, *rows):
            widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, "dim" if row[0] == "-" else "") for cell in row))
    console.print(table)


def _quota(one: Explained) -> str:
    said = _quota_words(one.quota)
    if not said:
        return "none"
    shared = "" if one.counted_for.startswith(one.model) else f" for all of {one.counted_for}"
    return f"{said}{shared}"


def _quota_words(quota: dict[str, int | None]) -> str:
    words = {"requests": "requests/min", "tokens": "tokens/min", "streams": "at once"}
    return ", ".join(f"{number:,} {words[name]}" for name, number in quota.items() if number is not None)


def _what_then(routes: Sequence[Explained], plan: Plan, settings: RoutingSettings) -> Iterator[str]:
    """What holds besides, and what follows a failure, a sentence a line."""
    admission, retry = settings.admission, settings.retry
    models = tuple({one.model: one for one in routes}.values())  # each once, by however many keys
    others = len(models) > 1
    for whose, quota in (("user", admission.user), ("client", admission.client)):
        if said := _quota_words(_numbers(quota)):
            yield f"Besides, for all that a {whose} asks: {said}."
    patient_s = min(admission.wait_s, settings.patience_s)
    while_others = f", {patient_s:g} s while another model is left" if others else ""
    yield f"Who cannot be let through at once waits up to {admission.wait_s:g} s{while_others}."
    if len(models) < len(routes):
        yield "A key that is refused, limited, or over a quota gives way to the next key at once."
    yield f"Time limits of an attempt: {', '.join(_limits(_timeouts(plan, settings))) or 'none'}."
    within = "" if retry.deadline_s is None else f" within {retry.deadline_s:g} s"
    patience = f" ({settings.patience_s:g} s while another model is left), then the next model" if others else ""
    yield f"Before the first token: up to {retry.max_attempts} attempts{within}{patience}."
    policy = _policy(plan, settings)
    yield f"After it ({policy.after_commit}): {_after(policy.after_commit, models)}."
    if policy.on_content_filter and others:
        yield "A refusal by a content filter is tried at the next model."


def _pipeline(gone: Gone) -> Iterator[str]:
    """Which one, if the file tells of any, and what holds in it instead of what was told."""
    if gone.route is None and gone.pipeline.name == DEFAULT and not gone.own_options and not gone.missing:
        return
    by = "as no route takes it" if gone.route is None else f"by routes[{gone.route}]"
    sinks = ", ".join(step.name for step in gone.pipeline.sinks)
    yield f"It goes the pipeline {gone.pipeline.name}, {by}, to {sinks}."
    for name, options in gone.own_options.items():
        own = ", ".join(f"{option}: {value}" for option, value in options.items())
        yield f"There {name} has options of its own, which hold instead: {own}."
    if gone.missing:
        yield f"It has no {', '.join(gone.missing)}: what is told here of such a stage does not hold."


def _limits(timeouts: StreamTimeouts) -> Iterable[str]:
    times = {
        "connect": timeouts.connect_s,
        "headers": timeouts.headers_s,
        "first token": timeouts.first_token_s,
        "idle": timeouts.idle_s,
        "total": timeouts.total_s,
    }
    yield from (f"{name} {limit:g} s" for name, limit in times.items() if limit is not None)
    if timeouts.min_tokens_per_s is not None:
        yield f"at least {timeouts.min_tokens_per_s:g} tokens/s over {timeouts.rate_window_s:g} s"


def _after(policy: AfterCommit, routes: Sequence[Explained]) -> str:
    """What becomes of an answer that breaks off when a part of it has been seen."""
    if len(routes) == 1 or policy is AfterCommit.FAIL:
        alone = "" if policy is AfterCommit.FAIL else "with no other model, "
        return f"{alone}the answer ends in an error that says how much was delivered"
    if policy is AfterCommit.RESTART:
        return "the next model begins the answer anew"
    going_on = (f"{one.model} {'goes on' if one.accepts_prefill else 'is asked to go on'}" for one in routes[1:])
    return f"the next model goes on with the answer ({', '.join(going_on)})"
