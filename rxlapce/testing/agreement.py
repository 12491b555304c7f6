"""Whether two requests mean the same: bodies by named rules, and headers by what they are for.

Two clients never send the same bytes. What may differ is said by a `Rule`, with its reason, that brings one side or
both into one form; afterwards the two must be equal, member by member. A rule that changes nothing is an error too, so
that none is left behind when a client changes and would hide the next difference.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.testing.recorder import Asked

#: Changes a body in place.
Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way in which bodies may differ without meaning something else: what it does to ours, to theirs, and why."""

    name: str
    reason: str
    ours: Change | None = None
    theirs: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question in two idioms: members of our `ChatRequest`, and arguments of the vendor's client."""

    name: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]
    rules: tuple[Rule, ...] = ()


def both(name: str, reason: str, change: Change) -> Rule:
    """A rule that brings both sides into a third form."""
    return Rule(name=name, reason=reason, ours=change, theirs=change)


def disagreements(ours: Mapping[str, Any], theirs: Mapping[str, Any], rules: Iterable[Rule] = ()) -> list[str]:
    """What is different after `rules`, each with its JSON path; and the rules that were not needed."""
    sides: tuple[dict[str, Any], dict[str, Any]] = (deepcopy(dict(ours)), deepcopy(dict(theirs)))
    idle: list[str] = []
    for rule in rules:
        before = deepcopy(sides)
        for side, change in zip(sides, (rule.ours, rule.theirs), strict=True):
            if change is not None:
                change(side)
        if sides == before:
            idle.append(f"the rule {rule.name!r} explains nothing here: leave it out")
    return [*differences(*sides), *idle]


def differences(ours: Any, theirs: Any, path: str = "$") -> Iterator[str]:
    """Where two JSON values differ; the order of members counts nothing, true is not 1, and 1 is 1.0."""
    if is_object(ours) and is_object(theirs):
        for name in ours.keys() | theirs.keys():
            where = f"{path}.{name}"
            if name not in theirs:
                yield f"{where}: only we send it: {ours[name]!r}"
            elif name not in ours:
                yield f"{where}: only they send it: {theirs[name]!r}"
            else:
                yield from differences(ours[name], theirs[name], where)
    elif is_array(ours) and is_array(theirs):
        if len(ours) != len(theirs):
            yield f"{path}: we send {len(ours)} elements, they {len(theirs)}: {ours!r}, {theirs!r}"
        for number, (own, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(own, other, f"{path}[{number}]")
    elif ours != theirs or isinstance(ours, bool) is not isinstance(theirs, bool):
        yield f"{path}: we send {ours!r}, they {theirs!r}"


# -- what rules do --------------------------------------------------------------------------------------------------
# A path is names joined by dots, `*` for every element of a list; what does not lead anywhere is left alone.


def drops(path: str, *values: Any) -> Change:
    """Removes the member at `path` where it is one of `values`: what the vendor takes for granted."""

    def change(body: dict[str, Any]) -> None:
        for holder, name in _places(body, path):
            if is_object(holder) and name in holder and holder[name] in values:
                del holder[name]

    return change


def rewrites(path: str, rewrite: Callable[[Any], Any]) -> Change:
    """Puts `rewrite(value)` in the place of each value at `path`."""

    def change(body: dict[str, Any]) -> None:
        for holder, name in _places(body, path):
            if is_array(holder) or name in holder:
                holder[name] = rewrite(holder[name])

    return change


def only_text(text_type: str | None = "text") -> Callable[[Any], Any]:
    """A list of nothing but one text becomes that text; `text_type` is the `type` that marks a text, None for none."""
    empty = {} if text_type is None else {"type": text_type}

    def rewrite(content: Any) -> Any:
        if is_array(content) and len(content) == 1 and is_object(content[0]):
            text = content[0].get("text")
            if isinstance(text, str) and content[0] == {**empty, "text": text}:
                return text
        return content

    return rewrite


def _places(body: Any, path: str) -> list[tuple[Any, Any]]:
    """Each list or object that `path` leads to, with the key of the value in it."""
    *steps, last = path.split(".")
    holders: list[Any] = [body]
    for step in steps:
        holders = [value for holder in holders for value in _values(holder, step)]
    return [(holder, key) for holder in holders for key in _keys(holder, last)]


def _keys(holder: Any, step: str) -> list[Any]:
    if step == "*":
        return list(range(len(holder))) if is_array(holder) else []
    return [step] if is_object(holder) else []


def _values(holder: Any, step: str) -> list[Any]:
    return [holder[key] for key in _keys(holder, step) if is_array(holder) or key in holder]


# -- headers ----------------------------------------------------------------------------------------------------------

#: Headers that say nothing of what is asked, and why; a name that ends in - stands for all that begin so.
INCIDENTAL: Final[Mapping[str, str]] = {
    "accept": "what each can read; that it reads the same is tested by the answers",
    "accept-encoding": "we ask for identity, so that no proxy holds tokens back",
    "amz-sdk-": "botocore counts its own attempts",
    "connection": "of this hop alone",
    "content-length": "of the bytes, which differ",
    "host": "the same for both: the loopback server",
    "idempotency-key": "the client's own, for its retries",
    "transfer-encoding": "of this hop alone",
    "user-agent": "the client's name",
    "x-amz-user-agent": "the client's name",
    "x-goog-api-client": "the client's name",
    "x-stainless-": "the client's name, version and attempts",
}


def headers_of(asked: Asked) -> dict[str, str]:
    """The headers that mean something: all but those in `INCIDENTAL`; of a content type, if any, its media type."""
    kept = {name: value for name, value in asked.headers.items() if not _is_incidental(name)}
    content_type = kept.pop("content-type", None)
    if content_type is not None and asked.body:
        kept["content-type"] = content_type.partition(";")[0].strip().lower()
    return kept


def _is_incidental(name: str) -> bool:
    return any(name == known or (known.endswith("-") and name.startswith(known)) for known in INCIDENTAL)
