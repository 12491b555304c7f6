"""A ledger that answers later, in virtual time."""

from collections.abc import Callable

from reactivex.abc import SchedulerBase
from reactivex.testing import TestScheduler

from rxlapce.operators.ledger import MemoryLedger, Verdict


class Late:
    """A ledger whose answers take a second of virtual time, as a shared store's do."""

    def __init__(self, ledger: MemoryLedger, scheduler: TestScheduler) -> None:
        self.limits = ledger.limits
        self.ledger = ledger
        self.scheduler = scheduler

    def take(self, key: str, tokens: int, now_s: float, answer: Callable[[Verdict], None]) -> None:
        """As `Ledger.take`; answers in a second."""
        verdicts: list[Verdict] = []
        self.ledger.take(key, tokens, now_s, verdicts.append)

        def action(_: SchedulerBase, __: object = None) -> None:
            answer(verdicts[0])

        self.scheduler.schedule_relative(1, action)

    def look(self, key: str, requests_ahead: int, tokens_ahead: int, tokens: int, now_s: float) -> None:
        """None: a store would have to be asked."""
