"""What becomes of a credential that the provider does not take."""

import asyncio

import pytest

from rxlapce.providers.credentials import Fetched, SharedCredential
from rxlapce.secret import Secret

NEW_S = 10.0


class Machine:
    """A clock that is moved by hand, and a fetch that gives `token-1`, `token-2`, and so on, each for an hour."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.fetches = 0
        self.credential = SharedCredential(self.fetch, provider="p", again_s=NEW_S, now=lambda: self.now_s)

    def fetch(self) -> Fetched[str]:
        self.fetches += 1
        name = f"token-{self.fetches}"
        return Fetched(value=name, secrets=(Secret(name),), expires_s=self.now_s + 3600)


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def test_it_is_given_to_nobody_after_that(machine: Machine) -> None:
    assert await machine.credential.get() == "token-1"
    machine.now_s += NEW_S
    machine.credential.refused()
    assert machine.credential.secrets == (Secret("token-1"),), "its requests may still be answered"
    assert await asyncio.gather(*(machine.credential.get() for _ in range(2))) == ["token-2", "token-2"]
    assert set(machine.credential.secrets) == {Secret("token-1"), Secret("token-2")}


async def test_one_that_has_just_come_is_kept(machine: Machine) -> None:
    for passed_s in (0, NEW_S - 1, 0):
        machine.now_s += passed_s
        assert await machine.credential.get() == "token-1"
        machine.credential.refused()
    assert machine.fetches == 1


async def test_a_refusal_by_many_requests_at_once_is_one(machine: Machine) -> None:
    assert await machine.credential.get() == "token-1"
    machine.now_s += NEW_S
    for expected in ("token-2", "token-2"):
        machine.credential.refused()
        assert await machine.credential.get() == expected


async def test_a_refusal_without_a_credential_changes_nothing(machine: Machine) -> None:
    machine.credential.refused()
    assert await machine.credential.get() == "token-1"
