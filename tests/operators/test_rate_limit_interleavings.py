from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.testing import TestScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Receiver, Stage
from rxlapce.operators.ledger import Limit, MemoryLedger, Unit
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.testing.ledgers import Late
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import StreamToken, Usage, UsageReport

BROKEN = ProviderError(ErrorKind.NETWORK, "gone")
NOT_SENT = ProviderError(ErrorKind.RATE_LIMIT, "another gate", phase=Phase.ADMIT)


ENDS = st.sampled_from(["end", "error", "not sent", "for ever"])
LIVES = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 10),
        st.sampled_from([0, 2, 9, 200]),
        st.integers(0, 8),
        ENDS,
        st.one_of(st.none(), st.integers(0, 15)),
        st.one_of(st.none(), st.integers(0, 10)),
    ),
    max_size=12,
)


@settings(max_examples=examples(80), deadline=None)
@given(lives=LIVES, late=st.booleans(), max_waiters=st.integers(1, 6))
def test_over_any_interleaving_nothing_leaks_and_no_window_is_overrun(
    lives: list[tuple[int, int, int, int, str, int | None, int | None]], late: bool, max_waiters: int
) -> None:
    requests, tokens = Limit(3, Unit.REQUESTS, 10), Limit(20, Unit.TOKENS, 10)
    scheduler = TestScheduler()
    memory = MemoryLedger(requests, tokens)
    limiter = RateLimiter(Late(memory, scheduler) if late else memory, max_waiters=max_waiters)
    starts: list[tuple[float, int]] = []
    taken: dict[int, int] = {}
    endings: list[list[str]] = [[] for _ in lives]

    def source(number: int, lasts: int, how: str, usage: int | None) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            assert scheduler is not None
            now_s = scheduler.to_seconds(scheduler.now)
            starts.append((now_s, number))
            taken[number] = lives[number][1]
            last = [other for at_s, other in starts if now_s - 10 < at_s]
            assert sum(how_of(other) != "not sent" for other in last) <= requests.amount
            assert sum(taken[other] for other in last) <= tokens.amount

            def end(_: SchedulerBase, __: object = None) -> None:
                taken[number] = usage if usage is not None else taken[number] if how == "end" else 0
                if usage is not None:
                    receiver.on_next(UsageReport(Usage(total=usage)))
                if how == "end":
                    receiver.on_completed()
                else:
                    receiver.on_error(NOT_SENT if how == "not sent" else BROKEN)

            def stopped() -> None:
                if number in disposed:
                    taken[number] = 0

            if how == "for ever":
                return Disposable(stopped)
            timer = scheduler.schedule_relative(0 if how == "not sent" else lasts, end)
            return CompositeDisposable(Disposable(stopped), timer)

        return Stage(on_subscribe)

    def how_of(number: int) -> str:
        return lives[number][4]

    held: dict[int, DisposableBase] = {}
    disposed: set[int] = set()

    def subscribe(number: int, estimate: int, max_wait_s: int, lasts: int, how: str, usage: int | None) -> None:
        report = None if how == "not sent" or usage is None else min(usage, estimate)
        gate = rate_limit_gate(limiter, "acme", estimate=estimate, max_wait_s=max_wait_s)
        gated = source(number, lasts, how, report).pipe(gate)
        held[number] = gated.subscribe(
            on_error=lambda error: endings[number].append(str(error)),
            on_completed=lambda: endings[number].append("completed"),
            scheduler=scheduler,
        )

    def dispose(number: int) -> None:
        if not endings[number]:
            disposed.add(number)
        held[number].dispose()

    def at(time_s: float, do: Callable[[], object]) -> None:
        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        scheduler.schedule_absolute(time_s, action)

    for number, (at_s, estimate, max_wait_s, lasts, how, usage, dispose_after) in enumerate(lives):
        at(at_s, partial(subscribe, number, estimate, max_wait_s, lasts, how, usage))
        if dispose_after is not None:
            at(at_s + dispose_after, partial(dispose, number))
    scheduler.advance_to(400)
    for number in held:
        dispose(number)
    scheduler.start()
    assert all(len(ending) <= 1 for ending in endings)
    assert (limiter.gauges.waiting, limiter.gauges.active, len(limiter)) == (0, 0, 0)
    assert limiter.gauges.refused == sum("rate_limit in phase admit" in "".join(ending) for ending in endings) - sum(
        "another gate" in "".join(ending) for ending in endings
    )
    for number, life in enumerate(lives):  # a dozen requests are through in a minute
        assert life[2] != 200 or "is reached" not in "".join(endings[number])
        assert life[6] is not None or life[2] != 200 or endings[number] or number in taken or life[4] == "for ever"
