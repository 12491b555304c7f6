"""What came of a case, and its record for machines."""

from dataclasses import dataclass
from typing import Final

from rxlapce.crashtest.cases import Case, Expect
from rxlapce.crashtest.rig import Rig, Role
from rxlapce.crashtest.verdict import Judgement, Reading, Verdict, combined, judge
from rxlapce.errors import ProviderError
from rxlapce.tokens import FinishKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A case as it went. Times are in seconds from its start; what stands in the singular is of its last answer."""

    case: str
    verdict: Verdict
    reason: str | None
    wall_s: float
    model: str | None = None
    times_primary_s: tuple[float, ...] = ()
    times_fallback_s: tuple[float, ...] = ()
    requests: int = 0
    finish: FinishKind | None = None
    error: ProviderError | None = None
    seams: tuple[str, ...] = ()
    text_chars: int = 0

    def record(self) -> dict[str, object]:
        """The object of `--json`."""
        return {
            "case": self.case,
            "verdict": self.verdict,
            "attempts_primary": len(self.times_primary_s),
            "attempts_fallback": len(self.times_fallback_s),
            "wall_s": round(self.wall_s, 3),
            "model": self.model,
            "attempt_times_s_primary": self.times_primary_s,
            "attempt_times_s_fallback": self.times_fallback_s,
            "requests": self.requests,
            "finish": self.finish,
            "error": None if self.error is None else _error(self.error),
            "seams": self.seams,
            "text_chars": self.text_chars,
            "reason": self.reason,
        }


def _error(error: ProviderError) -> dict[str, object]:
    return {
        "kind": error.kind,
        "phase": error.phase,
        "message": error.message,
        "retry_after_s": error.retry_after_s,
        "delivered_chars": error.delivered_chars,
    }


async def result_of(case: Case, rig: Rig, wall_s: float) -> Result:
    """Judge what the case's play has left on the rig."""
    expected = rig.expected()
    judgement = combined(judge(reading, expected) for reading in rig.readings)
    if judgement.verdict is not Verdict.FAIL:
        wrong = await _untrue(rig) or (_unmet(case.expect, judgement, rig) if rig.setup.is_known else None)
        judgement = judgement if wrong is None else Judgement(Verdict.FAIL, wrong)
    last = rig.readings[-1]
    answer, error = last.answer, last.error
    return Result(
        case=case.name,
        verdict=judgement.verdict,
        reason=judgement.reason,
        wall_s=wall_s,
        model=last.finish.model if last.finish is not None and error is None else None,
        times_primary_s=tuple(rig.attempt_times(Role.PRIMARY)),
        times_fallback_s=tuple(rig.attempt_times(Role.FALLBACK)),
        requests=len(rig.readings),
        finish=last.finish.kind if last.finish is not None else None,
        error=error if isinstance(error, ProviderError) else None,
        seams=tuple(seam.reason for reading in rig.readings for seam in reading.seams),
        text_chars=len(answer.text),
    )


async def _untrue(rig: Rig) -> str | None:
    """What no configuration excuses."""
    if rig.complaints:
        return rig.complaints[0]
    held = await rig.leftovers()
    if held:
        return f"left behind: {', '.join(held)}"
    if rig.client.sequence_gaps:
        return f"{rig.client.sequence_gaps} gaps in the sequence of frames"
    stray = rig.stray_frames()
    if stray:
        return f"{stray} frames came after the end of their stream"
    return None


def _unmet(expect: Expect, judgement: Judgement, rig: Rig) -> str | None:
    """What is otherwise than the built-in configuration has it."""
    if judgement.verdict is not expect.verdict:
        return f"expected {expect.verdict}, got {judgement.verdict}: {_told(rig.readings[-1])}"
    for role, (least, most) in ((Role.PRIMARY, expect.primary), (Role.FALLBACK, expect.fallback)):
        attempts = len(rig.attempt_times(role))
        if not least <= attempts <= most:
            return f"the {role} was asked {attempts} times, and not {_range(least, most)}"
    words = tuple(seam.word for reading in rig.readings for seam in reading.seams)
    if words != expect.seams:
        return f"the seams say {', '.join(words) or 'nothing'}, and not {', '.join(expect.seams) or 'nothing'}"
    return _wrong_end(expect, rig) or (expect.check(rig) if expect.check is not None else None)


def _wrong_end(expect: Expect, rig: Rig) -> str | None:
    last = rig.readings[-1]
    if expect.error is not None:
        kind = last.error.kind if isinstance(last.error, ProviderError) else None
        return None if kind is expect.error else f"the error is of kind {kind}, and not {expect.error}"
    model = last.finish.model if last.finish is not None else None
    first = rig.setup.primary.model
    if expect.by is not None and (model == first) is not (expect.by is Role.PRIMARY):
        return f"{model} answered, and not the {expect.by}"
    return None


def _told(reading: Reading) -> str:
    error = reading.error
    return str(error) if error is not None else f"an answer of {reading.finish.model if reading.finish else None}"


def _range(least: int, most: int) -> str:
    return _TIMES.get(most, f"{most} times") if least == most else f"{least} to {most} times"


_TIMES: Final = {0: "never", 1: "once"}
