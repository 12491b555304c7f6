"""The counts of requests under way, whatever the order in which they come and go."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rxlapce.daemon.bounds import Held, Limits, RequestBounds


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 60)), max_size=40))
def test_what_is_counted_in_is_counted_out(steps: list[tuple[bool, int, int]]) -> None:
    everybody, refused = Held(Limits(max_requests=4, max_request_bytes=150)), Counter[str]()
    clients = [RequestBounds(Limits(max_requests=3, max_request_bytes=100), everybody, refused) for _ in range(2)]
    under_way: dict[tuple[int, int], int] = {}
    refusals = 0
    for takes, request_id, size in steps:
        client = request_id % 2
        place = (client, request_id)
        if takes and place not in under_way:
            mine = [kept for (whose, _), kept in under_way.items() if whose == client]
            allowed = len(mine) < 3 and (not mine or sum(mine) + size <= 100)
            allowed = allowed and len(under_way) < 4 and (not under_way or sum(under_way.values()) + size <= 150)
            assert (clients[client].take(request_id, size) is None) == allowed
            if allowed:
                under_way[place] = size
            refusals += not allowed
        elif not takes:
            clients[client].give(request_id)
            under_way.pop(place, None)
        assert (everybody.requests, everybody.bytes) == (len(under_way), sum(under_way.values()))
    assert refused.total() == refusals
    for client_bounds in clients:
        client_bounds.give_all()
    assert (everybody.requests, everybody.bytes) == (0, 0)
