"""What happened in a `World` that has run, in words: to see that random scenarios get everywhere."""

from collections.abc import Iterator
from itertools import pairwise

from rxlapce.errors import Phase, ProviderError
from rxlapce.operators.timeouts import StreamTimeout
from rxlapce.testing.interleaving import Reader, World
from rxlapce.testing.scripted_http import Fault
from rxlapce.tokens import Finish, Seam


def reached(world: World) -> set[str]:
    """Each thing that happened, once."""
    return {*_at_the_gates(world), *(what for reader in world.readers for what in _of(reader))}


def _at_the_gates(world: World) -> Iterator[str]:
    traffic = world.traffic
    if any(limiter.gauges.refused for limiter in traffic.limiters.values()):
        yield "refused by a quota of requests or tokens"
    if any(slots.gauges.refused for slots in traffic.slots.values()):
        yield "refused by a quota of streams"
    for _, breaker in traffic.breakers:
        if breaker.gauges.opened:
            yield "a breaker opened"
        if breaker.gauges.refused:
            yield "refused by a breaker"
        if breaker.gauges.probes:
            yield "a probe"
    if traffic.budget.refused:
        yield "no retry left in the budget"


def _of(reader: Reader) -> Iterator[str]:
    yield f"end: {_end(reader)}"
    sent, finish = reader.sent, reader.finish
    attempts = reader.settled[0].attempts
    if finish is not None:
        models = [one.model for one in sent]
        seams = [token.word for token in reader.tokens if isinstance(token, Seam)]
        yield from (f"whole after {word}" for word in seams)
        if len(set(seams)) > 1 or len(seams) > 1:
            yield "whole after several seams"
        if not seams and len(set(models)) > 1:
            yield "whole after another model failed"
        if not seams and len(models) > 1 and models[-1] == models[-2]:
            yield "whole after a retry"
        if any(one.question.begun and 8 <= one.script.repeats <= len(one.question.begun) for one in sent):
            yield "whole after a repetition was cut off"
        if sent[-1].script.fault in (Fault.CUT, Fault.STALLS, Fault.FAILS):
            yield "whole, and broken after its end"
        yield "whole, asked for in one piece" if reader.reading.whole else "whole, as a stream"
        yield f"finish: {finish.kind}"
    for one in sent:
        if one.script.refuses_prefill and one.question.prefill:
            yield "a prefill refused"
        if isinstance(one.failure, StreamTimeout):
            yield f"a limit of the client: {one.failure.limit}"
    for before, after in pairwise(sent):
        if before.question == after.question and before.failure is not None and before.failure.retry_after_s:
            yield "a retry after Retry-After"
    for attempt in attempts:
        if attempt.error_kind is not None:
            yield f"attempt: {attempt.error_kind} in phase {attempt.phase}"
    if attempts and attempts[0].started_s > reader.reading.at_s:
        yield "a wait for admission"
    if reader.exchange.flow.closings:
        yield "the source held up by its reader"
    if isinstance(reader.ends and reader.ends[0], ProviderError) and reader.tokens:
        yield "an error after a part of the answer"


def _end(reader: Reader) -> str:
    error = reader.ends[0] if reader.ends else None
    if isinstance(error, StreamTimeout):
        return f"timeout ({error.limit})"
    if isinstance(error, ProviderError):
        return f"{error.kind}{' at admission' if error.phase is Phase.ADMIT else ''}"
    if reader.ends:
        return "whole"
    if any(isinstance(said, Finish) for said in reader.raw):
        return "left after the finish"
    if reader.raw:
        return "left in the middle"
    return "left while waiting for the first token" if reader.sent else "left before anything was sent"
