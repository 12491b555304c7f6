"""A real Redis for each test, as they kill it and stop it."""

from collections.abc import Iterator

import pytest

from rxlapce.testing.redis_server import NO_REDIS, RedisServer, has_redis, redis_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    if not has_redis():
        pytest.skip(NO_REDIS)
    with redis_server() as running:
        yield running


@pytest.fixture
def locked() -> Iterator[RedisServer]:
    """One that asks for a password."""
    if not has_redis():
        pytest.skip(NO_REDIS)
    with redis_server(password="canary-0123456789") as running:
        yield running
