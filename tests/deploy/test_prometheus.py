"""A daemon under load, a real Prometheus that scrapes it, and every expression that we hand out: each has data."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from rxlapce.bridge import connect
from rxlapce.bridge.client import Client
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.metrics_server import serve_metrics
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.retry import RetryPolicy
from rxlapce.providers.http import HttpClient
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.simulator import Simulator
from rxlapce.telemetry.logs import logger
from rxlapce.telemetry.settings import MetricsSettings
from rxlapce.testing.asking import Collected, ask, simulated
from rxlapce.testing.prometheus_server import (
    NO_PROMETHEUS,
    PrometheusServer,
    free_port,
    has_prometheus,
    prometheus_server,
    promtool,
)

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(90),
    pytest.mark.skipif(not has_prometheus(), reason=NO_PROMETHEUS),
]

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "rxlapce.rules.yml"
#: What Grafana puts in place of its variables.
GRAFANA: Final = {
    "[$__rate_interval]": "[30s]",
    "[$__range]": "[30s]",
    '"$instance"': '".*"',
    '"$provider"': '".*"',
    '"$model"': '".*"',
}
#: An alert asks whether there is something to tell; with `bool` it tells that it has looked.
THRESHOLD: Final = re.compile(r"(>|<|==) (?=[\d.]+$)")
OVERLOADED: Final = "openai/sim:fault=overloaded"

ROUTING: Final = RoutingSettings(
    admission=Admission(
        default=Quota(),
        models={"openai/sim:tokens=5,ttft=0.05": Quota(streams=1), "anthropic/sim:tokens=2": Quota(requests=2)},
        wait_s=0.2,
    ),
    retry=RetryPolicy(max_attempts=2, base_s=0.01, min_s=0.01, max_s=0.01),
    breaker=BreakerSettings(consecutive=4),
)
ALIASES: Final = (
    Alias(name="best", targets=(Target(model=OVERLOADED), Target(model="anthropic/sim:tokens=20,tps=200"))),
)


@contextlib.asynccontextmanager
async def daemon_with_metrics(path: Path) -> AsyncGenerator[str]:
    """A daemon at `path`, whose providers are simulators, and the address of its metrics."""
    async with contextlib.AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(seed=7))
        http = await stack.enter_async_context(HttpClient())
        daemon = Daemon(DaemonSettings(path=path, ring_bytes=1 << 16), log=logger(level="error", as_json=True))
        manager = ProviderManager(
            http,
            Router({provider.name: provider for provider in simulated(simulator.base_url)}, aliases=ALIASES),
            ROUTING,
        )
        ProviderRoutes(manager).register(daemon.handlers)
        port = MetricsSettings(listen=f"127.0.0.1:{free_port()}")
        manager.on_settled = await stack.enter_async_context(serve_metrics(daemon, lambda: [manager.traffic], port))
        await stack.enter_async_context(manager)
        await daemon.start()
        stack.push_async_callback(daemon.stop, 0)
        assert port.listen is not None
        yield port.listen


async def load(client: Client, round_: int) -> None:
    """One round of everything that can happen to a request."""

    async def end(options: str, provider: str = "openai", model: str | None = None) -> None:
        request = ask(options, provider=provider, prompt=f"round {round_}")
        got = Collected(client.chat_stream(request if model is None else replace(request, model=model)))
        await got.end()

    left = Collected(client.chat_stream(ask("tokens=1000,tps=100", provider="anthropic")))
    await left.until(1)
    await asyncio.gather(
        end("tokens=40,reasoning=5,tps=200"),
        end("tokens=40", provider="anthropic"),
        end("tokens=10,fault=overloaded,times=1"),  # answers the retry
        end("fault=auth"),
        end("", model=OVERLOADED),  # until its circuit opens
        end("", model="best"),  # falls back
        *(end("tokens=5,ttft=0.05") for _ in range(3)),  # one at a time: they wait
        *(end("tokens=2", provider="anthropic") for _ in range(3)),  # two a minute: the rest is refused
    )
    left.dispose()


def expressions() -> dict[str, str]:
    """All that the dashboard and the rules ask, by where it stands, as Prometheus would be asked."""
    board: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rxlapce.json").read_text())
    found = {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }
    found |= {annotation["name"]: annotation["expr"] for annotation in board["annotations"]["list"]}
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert asked is not None
            found[variable["name"]] = f"count by ({asked[2]}) ({asked[1]})"
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                found[rule["alert"]] = THRESHOLD.sub(r"\1 bool ", rule["expr"])
            else:
                found[rule["record"]] = rule["expr"]
                found[f"{rule['record']}, recorded"] = rule["record"]
    for name, expr in found.items():
        found[name] = reduce(lambda said, variable: said.replace(variable, GRAFANA[variable]), GRAFANA, expr)
        assert "$" not in found[name], name
    return found


def scraping(address: str) -> str:
    """Our own configuration, with another target, and scraped twice a second."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [address]}]
    scrape["scrape_timeout"] = "500ms"
    return yaml.safe_dump(config)


async def without_data(prometheus: PrometheusServer, asked: dict[str, str]) -> dict[str, str]:
    """Those that have none."""
    answers = await asyncio.gather(*(prometheus.has_data(expr) for expr in asked.values()))
    return {name: expr for (name, expr), answered in zip(asked.items(), answers, strict=True) if not answered}


async def test_every_expression_of_the_dashboard_and_the_rules_has_data_after_a_load(tmp_path: Path) -> None:
    asked = expressions()
    assert len(asked) > 100
    async with (
        daemon_with_metrics(tmp_path / "d.sock") as address,
        prometheus_server(scraping(address), RULES) as prometheus,
        await connect(tmp_path / "d.sock", transport="shm", client="loader") as client,
        await connect(tmp_path / "d.sock", transport="socket", client="other"),
    ):
        left, rounds = asked, 0
        while left and rounds < 60:
            await load(client, rounds)
            rounds += 1
            left = await without_data(prometheus, left)
        assert left == {}
        for group in (await prometheus.get("rules"))["groups"]:
            assert {rule["name"]: rule["health"] for rule in group["rules"] if rule["health"] != "ok"} == {}
        (target,) = (await prometheus.get("targets"))["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")


async def test_promtool_has_nothing_to_say_against_the_metrics(tmp_path: Path) -> None:
    async with (
        daemon_with_metrics(tmp_path / "d.sock") as address,
        await connect(tmp_path / "d.sock", transport="shm", client="loader") as client,
        aiohttp.ClientSession() as session,
    ):
        await load(client, 0)
        async with session.get(f"http://{address}/metrics") as response:
            text = await response.text()
    code, said = promtool("check", "metrics", given=text)
    assert (code, said) == (0, "")
