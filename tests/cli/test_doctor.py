"""`rxlapce doctor`: what it tells of the daemon and online, its forms, and its exit code."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

import rxlapce
from rxlapce.cli.doctor import CHECKS, ONLINE, examined
from rxlapce.cli.doctor_facts import Facts, Finding, Level, facts_here, ok
from rxlapce.messages import Status
from rxlapce.status import StatusReport
from rxlapce.testing.peer import RawPeer, fake_daemon


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
KEY = "sk-doctor-0123456789"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def rows(outcome: Outcome) -> dict[str, dict[str, str]]:
    """The findings by their check, the last of each."""
    return {row["check"]: row for row in map(json.loads, outcome.out.splitlines())}


def test_every_check_tells_what_it_found_and_no_key(command: Command, simulated: Path) -> None:
    done = command("doctor", "--path", str(simulated), "--json")
    found = rows(done)
    assert list(found) == list(CHECKS)
    assert (done.code, done.err) == (0, "")
    assert KEY not in done.out
    assert found["daemon"]["said"] == f"rxlapce/{rxlapce.__version__} runs and is well, with 0 clients"
    assert found["providers"]["said"] == "openai, by environment: OPENAI_API_KEY"
    assert {row["level"] for row in found.values()} <= {"ok", "warning"}
    assert all(bool(row["remedy"]) == (row["level"] != "ok") for row in found.values())


def test_for_people_each_finding_has_a_line_and_its_remedy(command: Command, folder: Path) -> None:
    done = command("doctor", "--path", str(folder / "d.sock"))
    lines = done.out.splitlines()
    place = lines.index(f"warning  daemon: none runs at {folder / 'd.sock'}")
    assert lines[place + 1] == "         -> start it: rxlapce serve"
    assert done.code == 0
    assert lines[-1].startswith("0 problems, ")
    assert "\x1b" not in done.out


def test_a_problem_is_exit_code_1(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    done = command("doctor", "--path", str(folder / "d.sock"))
    assert done.code == 1
    assert "problem  providers: no provider is configured" in done.out
    assert done.out.splitlines()[-1].startswith("1 problem, ")


def test_a_check_that_fails_hides_no_other(folder: Path) -> None:
    def broken(_: Facts) -> Iterator[Finding]:
        yield ok("so far")
        raise LookupError("a bug")

    def whole(_: Facts) -> Iterator[Finding]:
        yield ok("well")

    found = list(examined(facts_here(folder / "d.sock", None, None), {"a": broken, "b": whole}))
    assert [(name, finding.level) for name, finding in found] == [
        ("a", Level.OK),
        ("a", Level.PROBLEM),
        ("b", Level.OK),
    ]
    assert "LookupError: a bug" in found[1][1].said


# -- the daemon -------------------------------------------------------------------------------------------------------


REPORT = StatusReport(version="0.0.1", pid=1, uptime_s=1.0, connections=3, max_connections=9)


async def test_a_daemon_of_another_version_that_is_not_well_is_told(folder: Path) -> None:
    async def script(peer: RawPeer) -> None:
        request_id, asked = await peer.receive()
        assert asked == Status()
        peer.send(replace(REPORT, draining=True), request_id)
        await peer.receive_all()

    facts = facts_here(folder / "d.sock", None, None)
    async with fake_daemon(facts.path, script):
        # `stale_socket` would take the one connection that this daemon serves
        found = await asyncio.to_thread(lambda: list(examined(facts, {"daemon": CHECKS["daemon"]})))
    assert [(finding.level, finding.said) for _, finding in found] == [
        (Level.WARNING, f"fake runs, and this is rxlapce/{rxlapce.__version__}"),
        (Level.WARNING, "it is stopping, and takes no new requests"),
    ]
    assert "rxlapce serve --replace" in found[0][1].remedy


async def test_a_daemon_that_goes_before_it_answers_is_a_problem(folder: Path) -> None:
    async def script(peer: RawPeer) -> None:
        await peer.receive()

    facts = facts_here(folder / "d.sock", None, None)
    async with fake_daemon(facts.path, script):
        found = await asyncio.to_thread(lambda: list(examined(facts, {"daemon": CHECKS["daemon"]})))
    ((_, finding),) = found
    assert (finding.level, finding.said.startswith("it cannot be asked: ")) == (Level.PROBLEM, True)


# -- online -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """OpenAI is a server with the `status`, the `skew_s` and the body that the test sets."""
    asked: list[str] = []
    wanted: dict[str, object] = {"status": 200, "skew_s": 0.0, "asked": asked}

    class Vendor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            body = b'{"data": []}'
            self.send_response_only(int(str(wanted["status"])))
            self.send_header("Date", formatdate(time.time() + float(str(wanted["skew_s"])), usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_request(self, code: object = None, size: object = None) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield wanted
        server.shutdown()
        thread.join()


def online(folder: Path) -> list[Finding]:
    return [finding for _, finding in examined(facts_here(folder / "d.sock", None, None), ONLINE)]


def test_a_provider_that_answers_and_a_clock_that_is_right(vendor: dict[str, object], folder: Path) -> None:
    answers, clock = online(folder)
    assert (answers.level, clock.level) == (Level.OK, Level.OK)
    assert answers.said.startswith("openai answers at http://127.0.0.1:")
    assert vendor["asked"] == ["GET /v1/models", "HEAD /v1"]


def test_a_refused_key_and_a_wrong_clock(vendor: dict[str, object], folder: Path) -> None:
    vendor.update(status=401, skew_s=3600.0)
    refused, clock = online(folder)
    assert (refused.level, clock.level) == (Level.PROBLEM, Level.PROBLEM)
    assert "OPENAI_API_KEY" in refused.remedy
    assert KEY not in refused.said
    assert "behind 127.0.0.1" in clock.said


def test_a_provider_with_nothing_that_is_free_to_ask_is_told(vendor: dict[str, object], folder: Path) -> None:
    (folder / "c.yaml").write_text("providers:\n  mine:\n    base_url: http://127.0.0.1:1/v1\n    models_path: null\n")
    facts = facts_here(folder / "d.sock", folder / "c.yaml", None)
    found = [finding for _, finding in examined(facts, ONLINE)]
    assert [finding.level for finding in found] == [Level.OK, Level.WARNING, Level.OK]
    assert found[1].said.startswith("mine has no endpoint that is free of charge")


def test_a_server_that_is_not_there_tells_no_time(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    (finding,) = online(folder)
    assert (finding.level, "connect" in finding.said) == (Level.PROBLEM, True)


def test_nothing_is_asked_elsewhere_without_being_told_to(
    command: Command, vendor: dict[str, object], folder: Path
) -> None:
    assert "online" not in rows(command("doctor", "--path", str(folder / "d.sock"), "--json"))
    assert vendor["asked"] == []
    assert "online" in rows(command("doctor", "--path", str(folder / "d.sock"), "--json", "--online"))
