"""What must hold in single cases, besides what `Expect` counts. Each gives what is wrong, or None."""

from typing import Final

from rxlapce.crashtest.rig import Rig, Role
from rxlapce.errors import Phase, ProviderError
from rxlapce.operators.breaker import State

#: What the simulator asks for in its `Retry-After`.
_ASKED_TO_WAIT_S: Final = 1.0
#: Attempts during an outage of a minute: those that open the breaker, and probes that come further and further apart.
_FEW: Final = 10


def waited_a_second(rig: Rig) -> str | None:
    """Between the first attempt and the second lies at least what `Retry-After` asked for."""
    first_s, second_s = rig.attempt_times(Role.PRIMARY)[:2]
    gap_s = second_s - first_s
    return None if gap_s >= _ASKED_TO_WAIT_S else f"it asked again after {gap_s:.2f} s, and was told to wait 1 s"


def was_continued(rig: Rig) -> str | None:
    """The fallback was asked for the rest, and not for the whole."""
    rest = any(served.continued for served in rig.served(Role.FALLBACK))
    return None if rest else "the fallback was not asked for the rest of the answer"


def names_everybody(rig: Rig) -> str | None:
    """The error is the first one's, and says who else was tried."""
    error = rig.readings[-1].error
    if not isinstance(error, ProviderError):
        return "there is no error"
    if error.provider != rig.setup.primary.provider.name:
        return f"the error is told as {error.provider}'s, and the first that failed was {rig.setup.primary.name}"
    others = [target.model for target in rig.setup.targets[1:]]
    missing = [name for name in others if name not in error.message]
    return f"the error does not name {', '.join(missing)}: {error.message}" if missing else None


def tells_the_wait(rig: Rig) -> str | None:
    """The refusal is ours, before anything was sent, and says when there is room again."""
    error = rig.readings[-1].error
    if not isinstance(error, ProviderError) or error.phase is not Phase.ADMIT:
        return "the last request was not refused by a limit of ours"
    if error.retry_after_s is None or not 0 < error.retry_after_s <= 60:
        return f"the refusal tells a wait of {error.retry_after_s} s, of a limit by the minute"
    return None


def accounts(rig: Rig) -> str | None:
    """The reader is told the usage of who answered, and the record has the attempts that failed, with their reasons."""
    answered, usage = rig.served(Role.FALLBACK)[-1], rig.readings[-1].answer.usage
    output = sum(reply.output_tokens for reply in answered.replies)
    if usage is None or usage.output != output:
        return f"the usage told is {usage and usage.output} output tokens, and the fallback's answer has {output}"
    (settled,) = rig.settled
    *failed, last = settled.attempts
    if (settled.model, last.model, last.finished) != (answered.model, answered.model, True):
        return f"the record names {settled.provider}/{settled.model} as who answered"
    if last.usage != usage:
        return "the record's usage is not what the reader was told"
    if len(failed) != len(rig.served(Role.PRIMARY)) or any(one.error_kind is None or one.finished for one in failed):
        return f"the record has {len(failed)} failed attempts, and the first provider saw another number"
    return None


def only_one_is_blocked(rig: Rig) -> str | None:
    """The failing model's breaker is open, and the other model was asked once and answered."""
    primary = rig.setup.primary
    breaker = rig.manager.traffic.breakers.find(primary.provider.name, primary.model)
    if breaker is None or breaker.state is not State.OPEN:
        return "the failing model's breaker is not open"
    here = [served for served in rig.primary.served if served.model != primary.model]
    return None if len(here) == 1 else f"the other model of the server was asked {len(here)} times, and not once"


def comes_back(rig: Rig) -> str | None:
    """Few attempts while it was down, and an answer of its own soon after."""
    outage, back_at_s = rig.conditions.outage, rig.back_at_s
    if outage is None or back_at_s is None:
        return "there was no outage"
    asked = rig.attempt_times(Role.PRIMARY)
    meanwhile = sum(at_s < back_at_s - rig.started_s for at_s in asked)
    if meanwhile > _FEW:
        return f"it was asked {meanwhile} times while it was down"
    answered = rig.completed_at_primary()
    if not answered:
        return f"it was not asked again within {outage.back_within_s:g} s after it had come back"
    took_s = answered[0] - back_at_s
    return None if took_s <= outage.back_within_s else f"it answered again {took_s:.1f} s after it had come back"
