"""What a manager's models and providers do, as a status report tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from rxlapce.errors import ErrorKind
from rxlapce.operators.breaker import State
from rxlapce.operators.tap import Outcome
from rxlapce.operators.totals import MAX_NAME_CHARS, ModelTotals
from rxlapce.routing.health import Usability
from rxlapce.routing.manager import ProviderManager
from rxlapce.status import ModelStatus, ProviderStatus

#: Of each sort: models, providers, clients.
MAX_TOLD: Final = 256
MAX_REASON_CHARS: Final = 500
_KINDS: Final = tuple(kind.value for kind in ErrorKind)


class Load(Protocol):
    """What a report asks of whoever answers the daemon's requests."""

    def tokens(self) -> Mapping[str, int]:
        """Tokens so far, by model."""
        ...

    def models(self, per_s: Mapping[str, float]) -> tuple[ModelStatus, ...]:
        """How the models are; `per_s` are their tokens a second."""
        ...

    def providers(self) -> tuple[ProviderStatus, ...]:
        """How the providers are."""
        ...


class NoLoad:
    """That of a daemon without providers."""

    def tokens(self) -> Mapping[str, int]:
        """None."""
        return {}

    def models(self, per_s: Mapping[str, float]) -> tuple[ModelStatus, ...]:
        """None."""
        return ()

    def providers(self) -> tuple[ProviderStatus, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class ManagerLoad:
    """The load of one `ProviderManager`, read from what it counts anyway.

    Each call is linear in the models that were ever asked (256 have counts of their own) and the streams that run.
    """

    manager: ProviderManager

    def tokens(self) -> Mapping[str, int]:
        """See `Load`."""
        return {_name(*place): count for place, count in self.manager.traffic.totals.tokens().items()}

    def models(self, per_s: Mapping[str, float]) -> tuple[ModelStatus, ...]:
        """Those with most under way first, then those with most attempts, and at most `MAX_TOLD`.

        A model whose breaker is not closed is among them, also if it was never asked. With several keys the breaker
        that is told is one that is not closed.
        """
        traffic = self.manager.traffic
        collected = traffic.totals.collect()
        told = {_name(*place): _told(_name(*place), totals, per_s) for place, totals in collected.items()}
        for (provider, model, key), breaker in traffic.breakers:
            name, state = _name(provider, model), breaker.state
            known = told.get(name, ModelStatus(model=name))
            if state is not State.CLOSED and known.breaker != State.OPEN:
                said = State.OPEN if state is State.OPEN else State.HALF_OPEN
                cause = breaker.cause if key is None else f"key {key}: {breaker.cause}"
                told[name] = replace(known, breaker=said.value, cause=_cut(cause))
        for route, requests in traffic.under_way().items():
            name = _name(*route.split("/", 1))
            if name in told or len(collected) < traffic.totals.max_series:  # else it is among the others
                known = told.get(name, ModelStatus(model=name))
                told[name] = replace(known, waiting=max(0, requests - known.running))
        busiest = sorted(told.values(), key=lambda one: (-one.running - one.waiting, -one.attempts, one.model))
        return tuple(busiest[:MAX_TOLD])

    def providers(self) -> tuple[ProviderStatus, ...]:
        """Those that are configured, in their order, and at most `MAX_TOLD`."""
        health = self.manager.traffic.health
        known = {} if health is None else health.all()
        said = {Usability.USABLE: True, Usability.UNUSABLE: False, Usability.UNKNOWN: None}
        return tuple(
            ProviderStatus(
                name=name,
                usable=said[known[name].usability] if name in known else None,
                reason=_cut(known[name].reason) if name in known else None,
                origin=provider.origin or None,
            )
            for name, provider in list(self.manager.router.providers.items())[:MAX_TOLD]
        )


def _name(provider: str, model: str) -> str:
    """The model's name, as far as the counts keep it: it is a word of the client's."""
    return f"{provider[:MAX_NAME_CHARS]}/{model[:MAX_NAME_CHARS]}"


def _told(name: str, totals: ModelTotals, per_s: Mapping[str, float]) -> ModelStatus:
    errors = {kind: count for kind in _KINDS if (count := totals.outcomes[kind])}
    first = totals.first_token
    return ModelStatus(
        model=name,
        running=totals.running,
        attempts=totals.attempts,
        finished=totals.outcomes[Outcome.COMPLETED.value],
        failed=sum(errors.values()),
        cancelled=totals.outcomes[Outcome.DISPOSED.value],
        errors=errors,
        tokens=sum(totals.tokens.values()),
        tokens_per_s=round(per_s.get(name, 0.0), 3),
        first_token_s=round(first.sum_us / first.count / 1e6, 6) if first.count else None,
    )


def _cut(reason: str | None) -> str | None:
    """What a provider may have said, at a length that a report has room for."""
    return reason if reason is None or len(reason) <= MAX_REASON_CHARS else reason[: MAX_REASON_CHARS - 1] + "…"
