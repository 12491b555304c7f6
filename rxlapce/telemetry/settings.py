"""What is told to whom: logs, metrics and audit, each with its default."""

from dataclasses import dataclass, field
from typing import Literal

from rxlapce.errors import ConfigError
from rxlapce.registry import option
from rxlapce.telemetry.listen import FORMS, parse_listen

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "text", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Where log lines go, and which."""

    level: Level = option("info", help="the least that is told")
    format: Format = option("auto", help="auto: text on a terminal, JSON elsewhere")
    file: str | None = option(None, help="log to this file instead of standard error")
    mib: int = option(10, help="size at which the file is turned over", unit="MiB", at_least=1)
    content: bool = option(default=False, help="whether prompts and answers are told too, at level debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus finds the metrics, and which models have series of their own."""

    listen: str | None = option(None, help="HOST:PORT or unix:/PATH; null: nowhere")
    models: tuple[str, ...] = option(
        (), help="models (PROVIDER/MODEL, * at the end stands for any) with a label of their own; without: the first"
    )
    max_models: int = option(100, help="so many models have a label of their own; the rest is `other`", at_least=1)
    max_users: int = option(100, help="so many users have a label of their own; the rest is `other`", at_least=0)

    def __post_init__(self) -> None:
        if self.listen is not None:
            try:
                parse_listen(self.listen)
            except ConfigError:
                raise ValueError(f"listen must be {FORMS}, not {self.listen!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """Where it is written down who asked which model when."""

    file: str | None = option(None, help="the file; null: nothing is written down")
    mib: int = option(64, help="size at which a file is closed and the next begun", unit="MiB", at_least=1)
    kept: int = option(30, help="so many closed files stay; 0: all", at_least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """All three."""

    logs: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
