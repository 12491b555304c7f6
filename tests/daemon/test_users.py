"""What is counted of each user, and that a crowd of them takes no more room than there is."""

from rxlapce.daemon.users import MAX_USERS, OTHERS, Users
from rxlapce.errors import ErrorKind, Phase
from rxlapce.status import UserStatus
from rxlapce.testing.auditing import attempt, finished, refused, settled


def test_requests_are_counted_when_they_end_and_those_under_way_besides() -> None:
    users = Users()
    users.settled(settled("1", finished()))
    users.settled(settled("2", refused(1), finished(2)))
    users.settled(settled("3", finished(), user="bo"))
    assert users.tell({"bo": 2, "cy": 1}) == (
        UserStatus(name="bo", requests=2, total=1, tokens=7),
        UserStatus(name="cy", requests=1),
        UserStatus(name="ada", total=2, tokens=14),
    )


def test_refused_is_what_a_limit_kept_from_being_sent() -> None:
    held = attempt(error_kind=ErrorKind.RATE_LIMIT, phase=Phase.ADMIT)
    users = Users()
    for record in (
        settled("1", held, finished=False, error_kind=ErrorKind.RATE_LIMIT),
        settled("2", refused(1), held, finished=False, error_kind=ErrorKind.RATE_LIMIT),  # the first was sent
        settled("3", held, finished(2)),
        settled("4", held, finished=False, error_kind=ErrorKind.BAD_REQUEST),
    ):
        users.settled(record)
    assert [one.refused for one in users.tell({})] == [1]


def test_users_past_the_bound_are_counted_together_and_none_is_lost() -> None:
    users = Users(max_users=2)
    for number in range(10):
        users.settled(settled(user=f"u{number}"))
    told = {one.name: one.total for one in users.tell({})}
    assert told == {"u0": 1, "u1": 1, OTHERS: 8}
    crowd = {f"v{number}": 1 for number in range(2 * MAX_USERS)}
    assert len(users.tell(crowd)) == MAX_USERS
