"""Quotas of users: each has its own, whoever they say they are; and what is counted and written down of each."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import ErrorKind, HandshakeRefused, Phase, ProviderError
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.simulator import Simulator
from rxlapce.status import UserStatus
from rxlapce.telemetry.audit import Audit
from rxlapce.telemetry.hooks import each
from rxlapce.telemetry.log_output import Nowhere
from rxlapce.telemetry.logs import logger
from rxlapce.telemetry.settings import AuditSettings
from rxlapce.testing.asking import ask, simulated
from rxlapce.testing.auditing import rows_in
from rxlapce.testing.daemons import EmbeddedDaemon, daemon_process, embedded_daemon
from rxlapce.tokens import Finish
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import SigningKey, add_key

#: The loop that the daemon runs on; what it does by itself is the same on the other.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

ADA, BO = SigningKey("ada", b"a" * 32), SigningKey("bo", b"b" * 32)
PEER = f"uid {os.getuid()}"
LIMITED = RoutingSettings(
    admission=Admission(default=Quota(), users={"ada": Quota(requests=2), PEER: Quota(requests=3)}, wait_s=0)
)


@pytest.fixture
async def embedded(simulator: Simulator, path: Path) -> AsyncIterator[EmbeddedDaemon]:
    settings = DaemonSettings(path=path, signing=Signing(keys={"ada": ADA, "bo": BO}))
    async with embedded_daemon(settings, *simulated(simulator.base_url), routing=LIMITED) as running:
        yield running


async def answered(client: Client, provider: str = "openai") -> bool:
    tokens = [token async for token in client.chat_stream(ask("tokens=3", provider=provider))]
    return isinstance(tokens[-1], Finish)


async def refusal(client: Client, provider: str = "openai") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await answered(client, provider)
    return caught.value


async def exhaust_one(path: Path, provider: str) -> None:
    """Let `ada` ask more than she may, by two programs, and the others as much as they like."""
    async with (
        await connect(path, key=ADA, client="editor") as ada,
        await connect(path, key=ADA, client="terminal") as ada_too,
        await connect(path, key=BO) as bo,
        await connect(path) as peer,
    ):
        assert await answered(ada, provider)
        assert await answered(ada_too, provider)
        for client in (ada, ada_too):
            error = await refusal(client, provider)
            assert (error.kind, error.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
            assert "'user ada'" in error.message, "whose limit it is"
            assert error.retry_after_s is not None, "and when to ask again"
            assert 0 < error.retry_after_s <= 60
        for _ in range(3):
            assert await answered(bo, provider)
            assert await answered(peer, provider)
        assert f"'user {PEER}'" in (await refusal(peer, provider)).message


async def test_who_has_used_up_a_quota_disturbs_nobody_else(embedded: EmbeddedDaemon, tmp_path: Path) -> None:
    log = logger(output=Nowhere())
    audit = Audit(tmp_path / "audit.jsonl", AuditSettings(), log)
    embedded.manager.on_settled = each(embedded.daemon.users.settled, audit.settled)
    await exhaust_one(embedded.path, "openai")
    async with await connect(embedded.path) as client:
        users = (await client.status()).users
    await audit.aclose()
    tokens = {one.name: one.tokens for one in users}
    assert tokens["ada"] > 0
    assert users == (
        UserStatus(name="ada", total=4, tokens=tokens["ada"], refused=2),
        UserStatus(name=PEER, total=4, tokens=tokens[PEER], refused=1),
        UserStatus(name="bo", total=3, tokens=tokens["bo"]),
    )
    rows = [row for row in rows_in(tmp_path / "audit.jsonl") if row["event"] == "request"]
    assert [row["outcome"] for row in rows if row["user"] == "ada"] == ["completed"] * 2 + ["rate_limit"] * 2
    assert {row["client"] for row in rows if row["user"] == "ada"} == {"editor", "terminal"}


async def test_nobody_is_somebody_else_by_saying_so(embedded: EmbeddedDaemon) -> None:
    with pytest.raises(HandshakeRefused, match="another secret of the name 'ada'"):
        await connect(embedded.path, key=SigningKey("ada", b"b" * 32))
    async with await connect(embedded.path, client="ada") as pretender:
        assert await answered(pretender)
    async with await connect(embedded.path, key=BO, client=PEER) as other:
        assert await answered(other)
    async with await connect(embedded.path) as client:
        users = (await client.status()).users
    assert {(one.name, one.total) for one in users} == {(PEER, 1), ("bo", 1)}


@pytest.mark.heavy
async def test_the_quotas_are_those_of_the_file(simulator: Simulator, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    for key in (ADA, BO):
        add_key(file, key)
    users = f"{{ada: {{requests: 2}}, '{PEER}': {{requests: 3}}}}"
    config = f"limits: {{default: {{requests: null}}, wait_s: 0, users: {users}}}"
    options = ("--base-url", f"{simulator.base_url}/v1", "--key-file", str(file), "--no-health")
    async with daemon_process(path, *options, config=config):
        await exhaust_one(path, "local")
