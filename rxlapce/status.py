"""How a daemon is, as it tells in a `status_report`: load, models, providers, clients, users, memory.

All counts are since the daemon's start; all times are seconds.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from dataclasses_json import DataClassJsonMixin

from rxlapce.control import Control


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus(DataClassJsonMixin):
    """What became of the attempts at one model. `breaker` is closed, open or half_open; `cause` why it is not closed.

    `running` attempts are under way at the provider, and `waiting` requests wait for a place in a quota or for their
    next attempt. `cancelled` attempts were dropped by their reader before the end. `errors` counts the failed ones by
    their kind. `tokens_per_s` counts stream tokens over the last `StatusReport.window_s` seconds; `first_token_s` is
    the mean time to the first visible token, null where none has come.
    """

    model: str
    running: int = 0
    waiting: int = 0
    attempts: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    errors: dict[str, int] = field(default_factory=dict[str, int])
    tokens: int = 0
    tokens_per_s: float = 0.0
    first_token_s: float | None = None
    breaker: str = "closed"
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus(DataClassJsonMixin):
    """Whether a provider is well. `usable` is null where it is not known; `reason` says why it is not true.

    `origin` is the setting that it comes from.
    """

    name: str
    usable: bool | None = None
    reason: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus(DataClassJsonMixin):
    """One connected client: the daemon's `number` for it, its own name, and the user that the system proves.

    `unread_bytes` wait in the daemon for it, `ring_bytes` in its ring.
    """

    number: int
    client: str
    user: str
    transport: str
    signed: bool = False
    requests: int = 0
    age_s: float = 0.0
    unread_bytes: int = 0
    ring_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStatus(DataClassJsonMixin):
    """What a user asked: the name that a signed handshake proves, else the `uid N` that the system proves.

    `requests` are under way now, `total` have ended, and `refused` of them for a limit or a breaker, before anything
    was sent. `tokens` counts those of all answers.
    """

    name: str
    requests: int = 0
    total: int = 0
    tokens: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatus(DataClassJsonMixin):
    """The configuration that new streams take: its file, and since when it holds.

    `error` says why what stands in the file now was refused, null where it holds.
    """

    file: str
    age_s: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport(Control):
    """How the daemon is. `requests` are under way now, without questions such as this one.

    `window_s` is what rates are over; `memory_bytes` what the process has resident (where there is no /proc: the most
    that it ever had); `open_files` its descriptors, and `max_open_files` their limit (0: none). `max_connections` and
    `max_requests` are what all clients may have together; `refused` is what was turned away, by the limit's name. At
    most 256 models, providers, clients and users are told, the busiest models and users first.
    """

    tag: ClassVar[str] = "status_report"
    version: str
    pid: int
    uptime_s: float
    draining: bool = False
    memory_bytes: int = 0
    open_files: int = 0
    max_open_files: int = 0
    tasks: int = 0
    connections: int = 0
    max_connections: int = 0
    requests: int = 0
    max_requests: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    window_s: float = 0.0
    tokens_per_s: float = 0.0
    models: tuple[ModelStatus, ...] = ()
    providers: tuple[ProviderStatus, ...] = ()
    clients: tuple[ClientStatus, ...] = ()
    users: tuple[UserStatus, ...] = ()
    config: ConfigStatus | None = None
