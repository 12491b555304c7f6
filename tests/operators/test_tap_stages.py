from functools import partial

from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from rxlapce.flow import FlowControl
from rxlapce.operators.backpressure import BufferStats, Policy, buffer_with_backpressure
from rxlapce.operators.stages import BREATH_STREAMS, StageGauges, StageReading
from rxlapce.tokens import StreamToken, Text


def test_a_stage_that_is_watched_by_nobody_is_not_there() -> None:
    assert StageGauges().collect() == {}


def test_queues_gates_and_credits_are_added_up_over_streams() -> None:
    gauges = StageGauges()
    credit_of: dict[int, int | None] = {3: 10, 5: None, 0: 7}
    for queued in credit_of:
        gate = FlowControl()
        if queued:
            gate.close("reader")
        gauges.watch("sink", buffer=BufferStats(queued=queued), gate=gate, credit=partial(credit_of.get, queued))
    gauges.watch("source", gate=FlowControl())
    assert gauges.collect() == {
        "sink": StageReading(streams=3, queued=8, most_queued=5, gates_closed=2, credit=17, closings=2),
        "source": StageReading(streams=1),
    }


def test_when_a_stream_ends_its_gauges_go_and_its_counts_stay() -> None:
    gauges, gate = StageGauges(), FlowControl()
    gate.close("reader")
    stats = BufferStats(queued=2, pauses=3, dropped=4, coalesced=5)
    watching = gauges.watch("sink", buffer=stats, gate=gate, credit=lambda: 6)
    before = gauges.collect()["sink"]
    watching.dispose()
    watching.dispose()
    after = gauges.collect()["sink"]
    assert before == StageReading(1, 2, 2, 1, 6, closings=1, pauses=3, dropped=4, coalesced=5)
    assert after == StageReading(0, 0, 0, 0, 0, closings=1, pauses=3, dropped=4, coalesced=5)


def test_two_streams_that_share_their_stats_are_two() -> None:
    gauges, stats = StageGauges(), BufferStats()
    first, second = (gauges.watch("sink", buffer=stats) for _ in range(2))
    first.dispose()
    assert gauges.collect()["sink"].streams == 1
    second.dispose()
    assert gauges.collect()["sink"].streams == 0


def test_a_buffer_at_work_is_seen_as_it_stands() -> None:
    gauges, stats = StageGauges(), BufferStats()
    upstream, downstream = FlowControl(), FlowControl()
    source: Subject[StreamToken] = Subject()
    buffered = source.pipe(
        buffer_with_backpressure(
            upstream=upstream,
            downstream=downstream,
            high_water=2,
            low_water=0,
            capacity=3,
            policy=Policy.DROP_OLDEST,
            stats=stats,
        )
    )
    got: list[StreamToken] = []
    subscription = buffered.subscribe(got.append, scheduler=TestScheduler())
    watching = gauges.watch("sink", buffer=stats, gate=downstream)
    downstream.close("reader")
    for number in range(5):
        source.on_next(Text(str(number)))
    full = gauges.collect()["sink"]
    assert (full.queued, full.dropped, full.gates_closed) == (3, 2, 1)
    downstream.open("reader")
    empty = gauges.collect()["sink"]
    assert (empty.queued, empty.dropped, empty.gates_closed, empty.closings) == (0, 2, 0, 1)
    assert got == [Text("2"), Text("3"), Text("4")]
    subscription.dispose()
    watching.dispose()


def test_what_ends_between_two_steps_of_gathering_is_counted_once() -> None:
    gauges = StageGauges()
    watching = [gauges.watch("sink", buffer=BufferStats(queued=1, pauses=2)) for _ in range(2 * BREATH_STREAMS + 1)]
    steps = gauges.gather()
    assert next(steps) is None
    for stream in (watching[0], watching[-1]):
        stream.dispose()
    gauges.watch("sink", buffer=BufferStats(pauses=1000))
    *_, told = steps
    assert told is not None
    assert told["sink"].pauses == 2 * len(watching)
    assert gauges.collect()["sink"].pauses == 2 * len(watching) + 1000
