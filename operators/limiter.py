"""Requests that wait in order until a ledger lets them through."""

from collections import OrderedDict
from typing import Final

from reactivex.disposable import Disposable, SerialDisposable

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.operators.admission import Gauges, Standing, Ticket, WaitsByKey, refused
from rxlapce.operators.ledger import Ledger, Reservation, Verdict, Wait

#: The shortest time between two questions to the ledger about one request that must wait: clocks disagree by less.
MIN_RETRY_S: Final = 0.001


class Claim:
    """One request at a `RateLimiter`: its ticket, what it asks for, and what it has been given."""

    __slots__ = ("key", "provider", "reservation", "ticket", "tokens")

    def __init__(self, ticket: Ticket, key: str, tokens: int, provider: str | None = None) -> None:
        self.ticket = ticket
        self.key = key
        self.tokens = tokens
        self.provider = provider
        self.reservation: Reservation | None = None


class RateLimiter:
    """The limits of a ledger, and for each key the requests that wait for them, first come first.

    The ledger says yes or no; this waits: one request of a key is asked for at a time, the first, and the others wait
    behind it even if they are smaller, so that a large one is never passed by for ever. It is asked for again when the
    ledger said that it would fit, and whenever a stream of that key has settled.

    `max_waiters`, from 1, bounds how many wait for one key; the next one is refused. A key with nobody waiting takes no
    memory here but for what `waits` counts of it. All requests of one limiter run on one loop (or one virtual clock).

    Raises `ValueError` for a bound out of range.
    """

    def __init__(self, ledger: Ledger, *, max_waiters: int = 1000) -> None:
        if max_waiters < 1:
            raise ValueError(f"max_waiters must be at least 1, not {max_waiters}")
        self.ledger = ledger
        self.max_waiters = max_waiters
        self.gauges = Gauges()
        self.waits = WaitsByKey()
        self._lines: dict[str, _Line] = {}

    def __len__(self) -> int:
        """How many keys have a line."""
        return len(self._lines)

    def enter(self, claim: Claim) -> None:
        """Put `claim` at the end of its key's line, which may be all there is of it, or refuse it."""
        too_small = next((limit for limit in self.ledger.limits if limit.cost(1, claim.tokens) > limit.amount), None)
        if too_small is not None:
            message = f"{claim.tokens} tokens are more than the limit of {too_small} of {claim.key!r}"
            self._refuse(claim, refused(message, retry=Retry.OTHER_PROVIDER, provider=claim.provider))
            return
        line = self._lines.setdefault(claim.key, _Line())
        if len(line.waiting) >= self.max_waiters:
            wait = self._outlook(line, claim)
            text = f"{len(line.waiting)} requests wait for {wait.limit if wait else 'the limits'} of {claim.key!r}"
            after_s = wait.likely_s if wait else None
            self._refuse(claim, refused(text, retry_after_s=after_s, provider=claim.provider))
            return
        outlook = self._outlook(line, claim)
        line.waiting[claim] = None
        self.gauges.waiting += 1
        if outlook is not None and _is_hopeless(claim, claim.ticket.clock(), outlook.soonest_s):
            self._turn_away(line, claim, outlook)
        self._ask(line, claim.key)

    def expire(self, claim: Claim) -> None:
        """Refuse `claim`, whose deadline has come, if it still waits and it is not just now that its wait is over."""
        if claim.ticket.standing is not Standing.WAITING:
            return
        line = self._lines[claim.key]
        wait = line.still(claim.ticket.clock())
        if line.parked is not None and wait is not None and wait.likely_s <= MIN_RETRY_S:
            line.unpark()
            self._ask(line, claim.key)  # who is past its deadline is refused by a no
        else:
            self._turn_away(line, claim, wait)
            self._ask(line, claim.key)

    def report(self, claim: Claim, tokens: int) -> None:
        """The stream says that it has used `tokens` so far."""
        if claim.reservation is not None:
            claim.reservation.settle(tokens, claim.ticket.clock(), final=False)

    def settle(self, claim: Claim, tokens: int | None) -> None:
        """The stream has used `tokens`, and that is its last word; None: it was never sent. Later calls do nothing."""
        reservation, claim.reservation = claim.reservation, None
        if reservation is None:
            return
        now_s = claim.ticket.clock()
        if tokens is None:
            reservation.give_back(now_s)
        else:
            reservation.settle(tokens, now_s, final=True)
        line = self._lines.get(claim.key)
        if line is not None:
            line.again = line.asked is not None
            line.unpark()
            self._ask(line, claim.key)

    def leave(self, claim: Claim, tokens: int | None) -> None:
        """Take `claim` out of the line, or settle what it was given; a second call does nothing."""
        match claim.ticket.close():
            case Standing.WAITING:
                self.waits.tell(claim.key, claim.ticket.waited_s)
                line = self._lines[claim.key]
                self._forget(line, claim)
                self._ask(line, claim.key)
            case Standing.ADMITTED:
                self.gauges.active -= 1
                self.settle(claim, tokens)
            case Standing.GONE:
                pass

    def _ask(self, line: "_Line", key: str) -> None:
        """Ask the ledger for the first in line, and for the next ones as long as it answers at once with yes."""
        if line.busy:
            return  # called from inside an answer: the loop below goes on
        line.busy = True
        while line.waiting and line.asked is None and line.parked is None:
            self._take(line, next(iter(line.waiting)))
        line.busy = False
        if not line.waiting and line.asked is None:
            line.unpark()
            self._lines.pop(key, None)

    def _take(self, line: "_Line", claim: Claim) -> None:
        def answer(verdict: Verdict) -> None:
            line.asked = None
            again, line.again = line.again, False
            if isinstance(verdict, Wait):
                if claim.ticket.standing is Standing.WAITING and not again:
                    self._park(line, claim, verdict)
            elif isinstance(verdict, Exception):
                # Who stands behind has waited as long for an answer that did not come: not each for one of their own.
                for failed in list(line.waiting) if isinstance(verdict, TimeoutError) else [claim]:
                    if failed in line.waiting:  # else it left while the ledger was asked
                        self._forget(line, failed)
                        self._refuse(failed, _store_failed(verdict, failed.provider))
            elif claim.ticket.standing is Standing.WAITING:
                self._forget(line, claim)
                self._admit(claim, verdict)
            else:  # it left while the ledger was asked
                verdict.give_back(claim.ticket.clock())
            self._ask(line, claim.key)

        line.asked = claim
        self.ledger.take(claim.key, claim.tokens, claim.ticket.clock(), answer)

    def _park(self, line: "_Line", claim: Claim, wait: Wait) -> None:
        """`claim`, the first, must wait; so must all behind it, or be refused if that is too long for them."""
        now_s = claim.ticket.clock()
        if _is_hopeless(claim, now_s, wait.soonest_s):
            self._turn_away(line, claim, wait)
            return
        line.parked = claim
        line.wait, line.since_s = wait, now_s
        claim.ticket.after(max(wait.likely_s, MIN_RETRY_S), lambda: self._retry(line, claim), line.timer)
        for other in [other for other in line.waiting if _is_hopeless(other, now_s, wait.soonest_s)]:
            self._turn_away(line, other, self._outlook(line, other) or wait)

    def _retry(self, line: "_Line", claim: Claim) -> None:
        line.unpark()
        self._ask(line, claim.key)

    def _outlook(self, line: "_Line", claim: Claim) -> Wait | None:
        """How long `claim` waits behind those ahead of it; None if nobody stands still there, or nobody can tell."""
        if line.parked is None:
            return None
        now_s = claim.ticket.clock()
        requests = tokens = 0
        for other in line.waiting:
            if other is claim:
                break
            requests += 1
            tokens += other.tokens
        first = line.still(now_s)
        wait = self.ledger.look(claim.key, requests, tokens, claim.tokens, now_s)
        if wait is None or first is None:
            return first
        return Wait(wait.limit, max(wait.soonest_s, first.soonest_s), max(wait.likely_s, first.likely_s))

    def _admit(self, claim: Claim, reservation: Reservation) -> None:
        claim.reservation = reservation
        self.gauges.active += 1
        self.gauges.admitted += 1
        self.waits.tell(claim.key, claim.ticket.waited_s)
        claim.ticket.admit()

    def _turn_away(self, line: "_Line", claim: Claim, wait: Wait | None) -> None:
        self._forget(line, claim)
        if wait is None:
            error = refused(f"the limits of {claim.key!r} did not answer in time", provider=claim.provider)
        else:
            text = f"the limit of {wait.limit} of {claim.key!r} is reached; try again in {wait.likely_s:.3g} s"
            error = refused(text, retry_after_s=wait.likely_s, provider=claim.provider)
        self._refuse(claim, error)

    def _refuse(self, claim: Claim, error: ProviderError) -> None:
        self.gauges.refused += 1
        self.waits.tell(claim.key, claim.ticket.waited_s, refused=True)
        claim.ticket.refuse(error)

    def _forget(self, line: "_Line", claim: Claim) -> None:
        del line.waiting[claim]
        self.gauges.waiting -= 1
        if line.parked is claim:
            line.unpark()


class _Line:
    """One key's requests that wait, first come first; only the first is asked for, or parked until it is time to."""

    __slots__ = ("again", "asked", "busy", "parked", "since_s", "timer", "wait", "waiting")

    def __init__(self) -> None:
        self.waiting: OrderedDict[Claim, None] = OrderedDict()
        self.asked: Claim | None = None
        """Whom the ledger has not answered yet; it may have left since."""
        self.again = False
        """Something was given back since the ledger was asked: a no is out of date."""
        self.busy = False
        self.parked: Claim | None = None
        self.wait: Wait | None = None
        self.since_s = 0.0
        self.timer = SerialDisposable()

    def unpark(self) -> None:
        self.parked = None
        self.timer.disposable = Disposable()

    def still(self, now_s: float) -> Wait | None:
        """What is left of the first one's wait, as the ledger last told it."""
        if self.wait is None:
            return None
        gone_s = now_s - self.since_s
        return Wait(self.wait.limit, max(self.wait.soonest_s - gone_s, 0.0), max(self.wait.likely_s - gone_s, 0.0))


def _is_hopeless(claim: Claim, now_s: float, soonest_s: float) -> bool:
    """Whether `claim` cannot be admitted in time; who would not wait at all cannot, as there is a wait."""
    return claim.ticket.deadline_s <= now_s or claim.ticket.deadline_s < now_s + soonest_s


def _store_failed(cause: Exception, provider: str | None) -> ProviderError:
    # What a store says may name its address: it stays in the cause, for the log.
    error = ProviderError(
        ErrorKind.INTERNAL,
        f"the store of the rate limits failed ({type(cause).__name__}), and nothing is sent uncounted",
        retry=Retry.SAME,
        phase=Phase.ADMIT,
        provider=provider,
    )
    error.__cause__ = cause
    return error
