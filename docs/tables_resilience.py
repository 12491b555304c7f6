"""The tables of resilience.md: every member of the file's sections, as the dataclasses behind them declare it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from tables_markdown import table, words

from rxlapce.config.options import Option, options_of, required_of
from rxlapce.config.resilience import QUOTAS, STORE
from rxlapce.operators.legs import AfterCommit
from rxlapce.routing.alias import Alias, Choose, Target
from rxlapce.routing.settings import Quota, RoutingSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BASE: Final = RoutingSettings()
#: The dataclass behind each section of plain values; a target's model has no default.
BEHIND: Final[dict[str, "DataclassInstance"]] = {
    "timeouts": BASE.timeouts,
    "retry": BASE.retry,
    "budget": BASE.budget,
    "breaker": BASE.breaker,
    "fallback": BASE.fallback,
    "health": BASE.health,
    "quota": Quota(),
    "target": Target(model=""),
}
#: The members of `limits` that are one quota.
ONE: Final = ("default", "user", "client")
HEADINGS: Final = ("member", "takes", "default", "meaning")


def takes(option: Option) -> str:
    """What may stand there, in words."""
    if option.choices:
        plain = " or ".join(f"`{choice}`" for choice in option.choices)
    else:
        kind = {int: "whole number", float: "number", bool: "true or false", str: "text"}[option.kind]
        kind = f"list of {kind}s" if option.many else kind
        unit = option.told.unit if option.kind is float else f"{kind} of {option.told.unit}"
        plain = " ".join(filter(None, (unit if option.told.unit else kind, option.told.range)))
    return plain + (", or null" if option.optional else "")


def yaml(value: object) -> str:
    """A value as it stands in the file."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def values(thing: "DataclassInstance") -> dict[str, object]:
    """The plain members of a dataclass."""
    return {name: getattr(thing, name) for name in options_of(type(thing))}


def flow(members: Mapping[str, object]) -> str:
    """A mapping in one line."""
    return "{" + ", ".join(f"{name}: {yaml(value)}" for name, value in members.items()) + "}"


def quota(name: str) -> str:
    """What the quota limits; nothing where quotas stand by name."""
    if name not in ONE:
        return "{}"
    nothing = values(Quota())
    found = values(getattr(BASE.admission, name))
    return flow({member: value for member, value in found.items() if value != nothing[member]})


def row(thing: "DataclassInstance", name: str) -> tuple[str, str, str, str]:
    """One member's line."""
    shown = "required" if name in required_of(type(thing)) else f"`{yaml(getattr(thing, name))}`"
    option = options_of(type(thing))[name]
    return f"`{name}`", takes(option), shown, option.told.help


def members(section: str) -> list[tuple[str, str, str, str]]:
    """The members of what is behind `section`."""
    return [row(BEHIND[section], name) for name in values(BEHIND[section])]


def settings(section: str) -> str:
    """The table of a section of plain values."""
    return table(HEADINGS, members(section))


def retry() -> str:
    """The section `retry`: a model's attempts, their patience, and the budget of all."""
    budget = [(f"`budget.{name.strip('`')}`", *rest) for name, *rest in members("budget")]
    return table(HEADINGS, [*members("retry"), row(BASE, "patience_s"), *budget])


def limits() -> str:
    """The section `limits`: whose quotas there are."""
    kinds = {name: "a quota" if name in ONE else "quotas by name" for name in QUOTAS}
    rows = [(f"`{name}`", kinds[name], f"`{quota(name)}`", QUOTAS[name]) for name in QUOTAS]
    wait = row(BASE.admission, "wait_s")
    where = "where the models' quotas are counted [for a team](#a-team); null: in this daemon"
    return table(HEADINGS, [*rows, wait, (f"`{STORE}`", "an address, or `env:VARIABLE`, or null", "`null`", where)])


def alias() -> str:
    """The members of an alias."""
    example = Alias(name="fast", targets=(Target(model="a/b"),))
    own = [(name, kind, "that of `fallback`", meaning) for name, kind, _, meaning in members("fallback")]
    return table(
        HEADINGS,
        [
            ("`ask`", "a list of models", "required", "whom to ask: texts `PROVIDER/MODEL`, or mappings as below"),
            row(example, "choose"),
            *own,
            ("`timeouts`", "members of `timeouts`", "those of `timeouts`", "laid over what holds for all"),
        ],
    )


def choices() -> str:
    """The words of `choose`."""
    return words(
        Choose,
        {
            Choose.IN_ORDER: "as they are written: a chain of substitutes",
            Choose.WEIGHTED: "by chance, each as often as its weight says: a share of the traffic for each",
            Choose.LEAST_BUSY: "who has the fewest requests under way for its weight: several servers for one model",
        },
    )


def after_commit() -> str:
    """The words of `after_commit`."""
    return words(
        AfterCommit,
        {
            AfterCommit.FAIL: "keeps what it has, and gets one error that says how many characters that is",
            AfterCommit.CONTINUE: "gets a seam, then the rest of the answer from the next model, repetitions cut off; "
            "a tool call that was begun is discarded and made anew, and without any text yet all is",
            AfterCommit.RESTART: "gets a seam, discards what it has, and gets the whole answer of the next model",
        },
    )


def whole() -> str:
    """Every section with all its members at their defaults, as YAML."""
    sections: dict[str, dict[str, object]] = {
        "timeouts": values(BASE.timeouts),
        "limits": {name: quota(name) for name in QUOTAS} | values(BASE.admission) | {STORE: None},
        "retry": values(BASE.retry) | values(BASE) | {"budget": flow(values(BASE.budget))},
        "breaker": values(BASE.breaker),
        "fallback": values(BASE.fallback),
        "health": values(BASE.health),
    }
    lines: list[str] = []
    for section, found in sections.items():
        lines += [f"{section}:", *(f"  {name}: {yaml(value)}" for name, value in found.items())]
    return "```yaml\n" + "\n".join(lines) + "\n```"


TABLES: Mapping[str, Callable[[], str]] = {
    **{f"settings-{name}": partial(settings, name) for name in BEHIND if name not in ("retry", "budget")},
    "settings-retry": retry,
    "settings-limits": limits,
    "settings-alias": alias,
    "settings-whole": whole,
    "choose": choices,
    "after-commit": after_commit,
}
