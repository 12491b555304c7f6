"""Writes the dashboard of rxlapce: what is asked, how fast it is answered, what fails, and what it takes.

    python deploy/grafana/dashboard.py            writes rxlapce.json beside this file
    python deploy/grafana/dashboard.py --check    writes nothing; exits 1 if it differs (a test runs this)

A panel is one line here, and a page of JSON there. Change this file, not that one.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

OUT: Final = Path(__file__).parent / "rxlapce.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
RATE: Final = "[$__rate_interval]"
#: Of a daemon, and of a model.
HERE: Final = 'instance=~"$instance"'
MODEL: Final = f'{HERE},provider=~"$provider",model=~"$model"'

NAME: Final = "{{provider}}/{{model}}"
PM: Final = "provider, model"
IN_AND_OUT: Final = 'kind=~"input|output"'
UNWELL: Final = 'provider=~"$provider",state="unusable"'


@dataclass(frozen=True)
class Panel:
    """One panel: its title, its unit as Grafana calls it, and its queries with their legends."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    about: str = ""
    stacked: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def stat(title: str, unit: str, expr: str, about: str = "") -> Panel:
    """A number, as it is now."""
    return Panel(title, unit, {"": expr}, kind="stat", width=4, height=4, about=about)


def rate(metric: str, by: str, labels: str = MODEL) -> str:
    """How much a second a counter grows, by some labels."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def quantiles(
    metric: str, by: str = "", labels: str = MODEL, *, of: tuple[float, ...] = (0.5, 0.95, 0.99)
) -> dict[str, str]:
    """Quantiles of a histogram, by some labels."""
    inner = ", ".join(filter(None, ("le", by)))
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    return {
        f"p{q * 100:g} {legend}".strip(): (
            f"histogram_quantile({q:g}, sum by ({inner}) (rate({metric}_bucket{{{labels}}}{RATE})))"
        )
        for q in of
    }


def growth(metric: str, by: str, labels: str) -> str:
    """How much a counter grew in the time that is shown, by some labels."""
    return f"sum by ({by}) (increase({metric}{{{labels}}}[$__range]))"


def usage(kind: str) -> str:
    """A model's tokens of one kind, a second."""
    return rate("rxlapce_usage_tokens_total", PM, f'{MODEL},kind="{kind}"')


def heatmap(title: str, metric: str, about: str) -> Panel:
    """How a histogram's buckets fill in the course of time."""
    expr = f"sum by (le) (increase({metric}_bucket{{{MODEL}}}{RATE}))"
    return Panel(title, "s", {"{{le}}": expr}, kind="heatmap", about=about)


FAILED: Final = (
    f'sum(rate(rxlapce_requests_total{{{HERE},outcome="failed"}}{RATE}))'
    f" / sum(rate(rxlapce_requests_total{{{HERE}}}{RATE}))"
)

ROWS: Final[dict[str, list[Panel]]] = {
    "At a glance": [
        stat("Requests a second", "reqps", f"sum(rate(rxlapce_requests_total{{{HERE}}}{RATE}))"),
        stat("Requests that fail", "percentunit", FAILED, "After all retries and fallbacks: what users see."),
        stat(
            "First token, median",
            "s",
            quantiles("rxlapce_time_to_first_token_seconds", of=(0.5,))["p50"],
        ),
        stat("Tokens a second", "none", f"sum(rate(rxlapce_tokens_total{{{MODEL}}}{RATE}))"),
        stat("Streams under way", "none", f"sum(rxlapce_streams_active{{{MODEL}}})"),
        stat("Clients", "none", f"sum(rxlapce_connections{{{HERE}}})"),
    ],
    "Traffic": [
        Panel(
            "Requests by how they end",
            "reqps",
            {"{{outcome}}": rate("rxlapce_requests_total", "outcome", HERE)},
            stacked=True,
        ),
        Panel(
            "Attempts at models by how they end",
            "reqps",
            {"{{outcome}}": rate("rxlapce_streams_total", "outcome")},
            stacked=True,
        ),
        Panel(
            "Tokens by kind",
            "none",
            {"{{kind}}": rate("rxlapce_tokens_total", "kind")},
            stacked=True,
            about="A second.",
        ),
        Panel(
            "Streams under way by model",
            "none",
            {NAME: f"sum by ({PM}) (rxlapce_streams_active{{{MODEL}}})"},
            stacked=True,
        ),
        Panel(
            "Requests that wait for a model",
            "none",
            {NAME: f"sum by ({PM}) (rxlapce_requests_waiting{{{MODEL}}})"},
            stacked=True,
        ),
        Panel("Requests by user", "reqps", {"{{user}}": rate("rxlapce_requests_total", "user", HERE)}, stacked=True),
    ],
    "Latency": [
        Panel(
            "Time to first token",
            "s",
            quantiles("rxlapce_time_to_first_token_seconds"),
            about="Of an attempt at a model.",
        ),
        Panel("Time to first token by model", "s", quantiles("rxlapce_time_to_first_token_seconds", PM, of=(0.95,))),
        heatmap("Time to first token", "rxlapce_time_to_first_token_seconds", "Two bands are two models, or a cache."),
        Panel("Gap between tokens", "s", quantiles("rxlapce_inter_token_gap_seconds"), about="0 within a read."),
        Panel("Gap between tokens by model", "s", quantiles("rxlapce_inter_token_gap_seconds", PM, of=(0.95,))),
        Panel(
            "Stalls", "none", {NAME: rate("rxlapce_stalls_total", PM)}, about="Gaps of more than a second, a second."
        ),
        Panel("Duration of attempts", "s", quantiles("rxlapce_stream_duration_seconds")),
        Panel(
            "Duration of requests",
            "s",
            quantiles("rxlapce_request_duration_seconds", labels=HERE),
            about="With all that was tried.",
        ),
        heatmap("Gap between tokens", "rxlapce_inter_token_gap_seconds", "How evenly answers flow."),
    ],
    "Errors": [
        Panel(
            "Failed attempts by kind",
            "reqps",
            {"{{kind}}": rate("rxlapce_errors_total", "kind") + " > 0"},
            stacked=True,
        ),
        Panel("Failed attempts by model", "reqps", {NAME: rate("rxlapce_errors_total", PM)}, stacked=True),
        Panel(
            "Failed requests by kind",
            "reqps",
            {"{{kind}}": rate("rxlapce_request_errors_total", "kind", HERE) + " > 0"},
            stacked=True,
        ),
        Panel(
            "Retries", "reqps", {NAME: rate("rxlapce_retries_total", PM)}, about="By the model that was asked again."
        ),
        Panel(
            "Fallbacks",
            "reqps",
            {
                f"{NAME}, another model": rate("rxlapce_fallbacks_total", PM),
                f"{NAME}, another key": rate("rxlapce_key_switches_total", PM),
            },
            about="By the model that was left.",
        ),
        Panel(
            "Retry budget",
            "none",
            {
                "left on {{instance}}": f"rxlapce_retry_budget_left{{{HERE}}}",
                "refused, a second": rate("rxlapce_retry_budget_refusals_total", "instance", HERE),
            },
        ),
        Panel(
            "Circuits that are not closed",
            "none",
            {
                f"{NAME} {{{{key}}}} {{{{state}}}}": (
                    f'max by ({PM}, key, state) (rxlapce_breaker_state{{{MODEL},state!="closed"}})'
                )
            },
            kind="state-timeline",
        ),
        Panel(
            "Circuits: openings and refusals",
            "none",
            {
                f"{NAME} opened": rate("rxlapce_breaker_openings_total", PM),
                f"{NAME} refused": rate("rxlapce_breaker_refusals_total", PM),
            },
            about="A second.",
        ),
        Panel(
            "Providers that are not well",
            "none",
            {"{{provider}}": f"max by (provider) (rxlapce_provider_health{{{HERE},{UNWELL}}})"},
            kind="state-timeline",
        ),
    ],
    "Limits": [
        Panel(
            "Waits",
            "reqps",
            {"{{gate}} of {{scope}} {{provider}}": rate("rxlapce_limit_waits_total", "gate, scope, provider", HERE)},
        ),
        Panel(
            "Mean wait",
            "s",
            {
                "{{gate}} of {{scope}}": (
                    f"{rate('rxlapce_limit_wait_seconds_total', 'gate, scope', HERE)}"
                    f" / ({rate('rxlapce_limit_waits_total', 'gate, scope', HERE)} > 0)"
                )
            },
        ),
        Panel(
            "Refused",
            "reqps",
            {
                "{{gate}} of {{scope}} {{provider}}": rate(
                    "rxlapce_limit_refusals_total", "gate, scope, provider", HERE
                ),
                "bound {{bound}}": rate("rxlapce_refusals_total", "bound", HERE),
            },
        ),
        Panel("Waiting now", "none", {"{{gate}}": f"sum by (gate) (rxlapce_limit_waiting{{{HERE}}})"}, width=12),
        Panel(
            "Requests under way and their bound",
            "none",
            {
                "under way on {{instance}}": f"rxlapce_requests_active{{{HERE}}}",
                "bound of {{instance}}": f"rxlapce_requests_limit{{{HERE}}}",
            },
            width=12,
        ),
    ],
    "Usage": [
        Panel(
            "Tokens as providers count them",
            "none",
            {"{{kind}}": rate("rxlapce_usage_tokens_total", "kind")},
            about="A second. Cached ones are among the input, thoughts among the output.",
        ),
        Panel(
            "Output tokens by model",
            "none",
            {NAME: usage("output")},
            stacked=True,
        ),
        Panel(
            "Input tokens by model",
            "none",
            {NAME: usage("input")},
            stacked=True,
        ),
        Panel(
            "Input that was cached",
            "percentunit",
            {NAME: f"{usage('cached_input')} / ({usage('input')} > 0)"},
        ),
        Panel(
            "Cost an hour, where it is told",
            "currencyUSD",
            {NAME: "3600 * " + rate("rxlapce_cost_dollars_total", PM)},
            stacked=True,
        ),
        Panel("Tokens of a stream", "none", quantiles("rxlapce_stream_tokens")),
        Panel(
            "Tokens by user in this time",
            "none",
            {"{{user}} {{kind}}": growth("rxlapce_user_tokens_total", "user, kind", f"{HERE},{IN_AND_OUT}")},
            kind="bargauge",
            width=12,
        ),
        Panel(
            "Tokens by model in this time",
            "none",
            {f"{NAME} {{{{kind}}}}": growth("rxlapce_usage_tokens_total", f"{PM}, kind", f"{MODEL},{IN_AND_OUT}")},
            kind="bargauge",
            width=12,
        ),
    ],
    "Backpressure": [
        Panel(
            "Tokens that wait for clients",
            "none",
            {
                "all, {{stage}}": f"sum by (stage) (rxlapce_queued_tokens{{{HERE}}})",
                "longest queue, {{stage}}": f"max by (stage) (rxlapce_queue_longest_tokens{{{HERE}}})",
            },
        ),
        Panel(
            "Streams that are held up",
            "none",
            {
                "now, {{stage}}": f"sum by (stage) (rxlapce_gates_closed{{{HERE}}})",
                "of all, {{stage}}": f"sum by (stage) (rxlapce_stage_streams{{{HERE}}})",
                "closings a second, {{stage}}": rate("rxlapce_gate_closings_total", "stage", HERE),
            },
        ),
        Panel(
            "What buffers did",
            "none",
            {
                "merged, {{stage}}": rate("rxlapce_coalesced_tokens_total", "stage", HERE),
                "dropped, {{stage}}": rate("rxlapce_dropped_tokens_total", "stage", HERE),
                "pauses, {{stage}}": rate("rxlapce_buffer_pauses_total", "stage", HERE),
                "gaps in which readers held up": rate("rxlapce_paused_gaps_total", "job"),
            },
            about="A second.",
        ),
        Panel(
            "Shared rings",
            "bytes",
            {
                "unread on {{instance}}": f"rxlapce_ring_fill_bytes{{{HERE}}}",
                "capacity on {{instance}}": f"rxlapce_ring_capacity_bytes{{{HERE}}}",
                "unread in the daemon, {{transport}}": f"sum by (transport) (rxlapce_client_unread_bytes{{{HERE}}})",
            },
        ),
        Panel("The fullest ring", "percentunit", {"{{instance}}": f"rxlapce_ring_fill_ratio{{{HERE}}}"}),
        Panel(
            "Bytes in and out",
            "Bps",
            {
                "from {{provider}}": rate("rxlapce_provider_received_bytes_total", "provider"),
                "to clients by {{transport}}": rate("rxlapce_client_sent_bytes_total", "transport", HERE),
            },
        ),
        Panel(
            "Credit of readers who count",
            "none",
            {"{{stage}}": f"sum by (stage) (rxlapce_credit_frames{{{HERE}}})"},
            about="Frames.",
            width=12,
        ),
        Panel(
            "Clients by transport",
            "none",
            {
                "{{transport}}": f"sum by (transport) (rxlapce_connections{{{HERE}}})",
                "bound": f"sum(rxlapce_connections_limit{{{HERE}}})",
            },
            width=12,
        ),
    ],
    "Process": [
        Panel("CPU", "percentunit", {"{{instance}}": f'rate(process_cpu_seconds_total{{job="rxlapce",{HERE}}}{RATE})'}),
        Panel(
            "Memory",
            "bytes",
            {
                "{{instance}}": f'process_resident_memory_bytes{{job="rxlapce",{HERE}}}',
                "of requests, {{instance}}": f"rxlapce_requests_held_bytes{{{HERE}}}",
                "bound of requests, {{instance}}": f"rxlapce_requests_held_limit_bytes{{{HERE}}}",
            },
        ),
        Panel(
            "Descriptors",
            "none",
            {
                "open on {{instance}}": f'process_open_fds{{job="rxlapce",{HERE}}}',
                "limit of {{instance}}": f'process_max_fds{{job="rxlapce",{HERE}}}',
            },
        ),
        Panel(
            "Time since the start",
            "s",
            {"{{instance}}": f'time() - process_start_time_seconds{{job="rxlapce",{HERE}}}'},
            kind="stat",
            height=4,
        ),
        Panel(
            "Version",
            "none",
            {"{{version}} on Python {{python}}": f"sum by (version, python) (rxlapce_build_info{{{HERE}}})"},
            kind="stat",
            height=4,
            options={"textMode": "name"},
        ),
        Panel("Draining", "bool", {"{{instance}}": f"rxlapce_draining{{{HERE}}}"}, kind="stat", height=4),
    ],
}


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice of some values of a label, at first all of them."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def panel_json(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    """A panel as Grafana has it."""
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
        if panel.stacked:
            custom["stacking"] = {"mode": "normal"}
    made: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, **panel.options},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
                "instant": panel.kind == "bargauge",
                "range": panel.kind != "bargauge",
            }
            for place, (legend, expr) in enumerate(panel.queries.items())
        ],
    }
    if panel.kind == "heatmap":
        made["options"] = {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"scheme": "Blues"}}
    return made


def panels() -> Iterator[dict[str, Any]]:
    """All of them, from left to right and from the top down, with a row's title before its own."""
    number = y = 0
    for title, row in ROWS.items():
        number += 1
        yield {
            "id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }  # fmt: skip
        y += 1
        x = height = 0
        for panel in row:
            number += 1
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            yield panel_json(number, panel, x, y)
            x += panel.width
            height = max(height, panel.height)
        y += height


def dashboard() -> dict[str, Any]:
    """All of it."""
    return {
        "title": "rxlapce",
        "uid": "rxlapce",
        "description": "Streams from language-model providers to editors.",
        "tags": ["rxlapce", "llm"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                variable("instance", "label_values(rxlapce_build_info, instance)"),
                variable("provider", f"label_values(rxlapce_streams_total{{{HERE}}}, provider)"),
                variable("model", f'label_values(rxlapce_streams_total{{{HERE},provider=~"$provider"}}, model)'),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Circuits open",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": f"sum by ({PM}) (increase(rxlapce_breaker_openings_total{{{MODEL}}}{RATE})) > 0",
                    "titleFormat": NAME,
                }
            ]
        },
        "panels": list(panels()),
    }


def main() -> int:
    """Write the dashboard, or say whether it differs."""
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        return int(not OUT.exists() or OUT.read_text() != text)
    OUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
