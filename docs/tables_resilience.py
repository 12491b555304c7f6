"""The tables of resilience.md: every member of the file's sections, as the dataclasses behind them declare it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from tables_markdown import table, words

from rxlapce.config.options import Option, options_of
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
MEANINGS: Final[dict[str, dict[str, str]]] = {
    "timeouts": {
        "connect_s": "until there is a connection; besides it the HTTP client gives up after 5 s",
        "headers_s": "until the response's headers; besides it the HTTP client gives up after 120 s",
        "first_token_s": "until the first token that a reader would see",
        "idle_s": "without a byte; keep-alives count as bytes",
        "min_tokens_per_s": "tokens a second, on average over `rate_window_s`; a slower answer has failed",
        "rate_window_s": "how long speed is averaged over",
        "total_s": "until the end of the answer",
    },
    "retry": {
        "max_attempts": "from 1; how often a model is asked, the first time counted",
        "base_s": "the longest random wait after the first failure; it doubles with each further one",
        "max_s": "the longest random wait of all",
        "min_s": "the shortest random wait; all of them come on top of the provider's `Retry-After`",
        "deadline_s": "no attempt begins later than this after the request",
    },
    "budget": {
        "fraction": "from 0 to 1; retries of all requests together, as a share of the requests of the window",
        "floor": "from 0; so many retries besides",
        "window_s": "the window",
    },
    "breaker": {
        "consecutive": "from 1 to `window`; it opens at so many failures in a row",
        "window": "up to 1024; how many outcomes are looked at",
        "min_outcomes": "from 1 to `window`; so many there must be for the share to count",
        "failure_percent": "from 1 to 100; it opens at this share of failures among them",
        "forget_s": "outcomes are forgotten after so long without one; how often it opened, after being closed as long",
        "open_s": "open for so long at first, and twice as long each further time",
        "max_open_s": "but no longer; not below `open_s`",
        "key_s": "how long a refused key rests",
        "max_cooldown_s": "the longest rest that a provider may ask for",
    },
    "fallback": {
        "after_commit": "what becomes of an answer that breaks off when a part of it has been seen",
        "on_content_filter": "whether a refusal by one provider's content filter is tried at the next model",
        "overlap_chars": "characters, from 0; the longest repetition that is cut off the rest of an answer",
        "max_kept_chars": "characters, from 0; a longer answer is not kept, and so not continued",
    },
    "health": {
        "enabled": "whether providers are looked at; without, all count as usable",
        "every_s": "how often; a provider that has just answered a request is not asked",
        "unusable_every_s": "how often one that is not well",
        "timeout_s": "how long a look may take",
    },
    "quota": {
        "requests": "from 1, a minute",
        "tokens": "from 1, a minute; prompt and answer, estimated first and settled by what the provider counts",
        "streams": "from 1, at once",
        "shared": "of a provider's quota: its models have it together, instead of each its own",
    },
    "target": {
        "model": "`PROVIDER/MODEL`; of a provider with a default model (Azure's deployment) its name alone",
        "weight": "from 1; its share under `weighted` and `least_busy`",
        "images": "whether it takes requests with images",
        "tools": "whether it takes requests with tools",
        "context": "tokens, from 1; longer requests, prompt and answer, go to the others",
        "prefill": "whether it goes on with an answer's beginning; null: as is known of the provider's models",
    },
}


#: The members of `limits` that are one quota.
ONE: Final = ("default", "user", "client")
#: Times that may be nothing; all others are above 0.
FROM_0: Final = frozenset({"wait_s", "patience_s"})
HEADINGS: Final = ("member", "takes", "default", "meaning")


def takes(name: str, option: Option) -> str:
    """What may stand there, in words."""
    if option.choices:
        plain = " or ".join(f"`{choice}`" for choice in option.choices)
    elif name.endswith("_s"):
        unit = "number" if name.endswith("_per_s") else "seconds"
        plain = f"{unit} {'from 0' if name in FROM_0 else 'above 0'}"
    else:
        plain = {int: "whole number", float: "number", bool: "true or false", str: "text"}[option.kind]
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


def row(thing: "DataclassInstance", name: str, meaning: str) -> tuple[str, str, str, str]:
    """One member's line."""
    default = values(thing)[name]
    shown = "required" if default == "" else f"`{yaml(default)}`"
    return f"`{name}`", takes(name, options_of(type(thing))[name]), shown, meaning


def members(section: str) -> list[tuple[str, str, str, str]]:
    """The members of what is behind `section`. Raises `KeyError` where meanings and fields are not the same."""
    thing, meanings = BEHIND[section], MEANINGS[section]
    if values(thing).keys() != meanings.keys():
        raise KeyError(f"{section}: {sorted(values(thing).keys() ^ meanings.keys())}")
    return [row(thing, name, meanings[name]) for name in values(thing)]


def settings(section: str) -> str:
    """The table of a section of plain values."""
    return table(HEADINGS, members(section))


def retry() -> str:
    """The section `retry`: a model's attempts, their patience, and the budget of all."""
    meaning = "as `deadline_s`, and as `limits.wait_s`, for a model after which there is another one to ask"
    budget = [(f"`budget.{name.strip('`')}`", *rest) for name, *rest in members("budget")]
    return table(HEADINGS, [*members("retry"), row(BASE, "patience_s", meaning), *budget])


def limits() -> str:
    """The section `limits`: whose quotas there are."""
    whose = {
        "default": "of each model, where nothing below is for it",
        "providers": "quotas by provider, each for every model of it",
        "models": "quotas by `PROVIDER/MODEL`, each for that model",
        "user": "of everything that one user of the machine asks",
        "users": "quotas by a user's name (`uid 1000`, or whom a signed handshake proves), each instead of `user`",
        "client": "of each program that connects, by the name it gives",
    }
    kinds = {name: "a quota" if name in ONE else "quotas by name" for name in QUOTAS}
    rows = [(f"`{name}`", kinds[name], f"`{quota(name)}`", whose[name]) for name in QUOTAS]
    wait = row(BASE.admission, "wait_s", "how long who cannot be let through at once waits")
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
            row(example, "choose", "which of them is asked first; the others follow if it fails"),
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
