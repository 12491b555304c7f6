"""A provider with several keys: who is asked next when one of them fails, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from reactivex import Observable

from rxlapce.daemon.load import ManagerLoad
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.operators.retry import RetryPolicy
from rxlapce.providers import anthropic, openai
from rxlapce.providers.call import HttpCall
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.routing.traffic import Traffic
from rxlapce.secret import Secret
from rxlapce.testing.interleaving import VirtualTime
from rxlapce.testing.scripted_http import Fault, Script, ScriptedHttp
from rxlapce.tokens import Finish, StreamToken

KEYS = ("work", "spare", "last")
REQUEST = ChatRequest(model="openai/m", messages=(Message(role="user", content="hello"),))


def keyed(provider: Provider, names: Sequence[str]) -> Provider:
    """`provider` as a file with these keys makes it."""
    secrets = [Settings(key=Secret(f"sk-{name}"), base_url=f"http://{provider.name}.test") for name in names]
    build = openai.build if provider.name == "openai" else anthropic.build
    made = tuple(replace(build(settings), key=name) for settings, name in zip(secrets, names, strict=True))
    return replace(made[0], accounts=made if len(made) > 1 else ())


class ByKey(ScriptedHttp):
    """Providers that behave by the key that they are asked with: `key` or `provider` is what a script is found by."""

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        (secret,) = call.auth.secrets
        key = secret.reveal().removeprefix("sk-")
        return super().stream(replace(call, provider=key if f"{key}/m" in self.scripts else call.provider), exchange)


@dataclass
class World:
    """Requests to `openai/m`, which has three keys, by scripts for each."""

    scripts: dict[str, list[Script]]
    keys: Sequence[str] = KEYS
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    alias: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.clock = VirtualTime()
        self.http = ByKey({f"{name}/m": scripts for name, scripts in self.scripts.items()})
        self.traffic = Traffic(self.settings, clock=lambda: self.clock.now_s)
        plain = Settings(key=Secret("sk-anthropic"), base_url="http://anthropic.test")
        providers = {"openai": keyed(openai.build(plain), self.keys), "anthropic": anthropic.build(plain)}
        aliases = [Alias(name="both", targets=tuple(Target(model=model) for model in self.alias))] if self.alias else []
        self.manager = ProviderManager(
            self.http, Router(providers, aliases=aliases), self.settings, traffic=self.traffic, chance=lambda: 0.5
        )

    def ask(self, name: str = "openai/m", *, seconds: float = 100.0) -> "Asked":
        """Ask, and let time go by."""
        asked = Asked()
        stream = self.manager.chat_stream(replace(REQUEST, model=name), asked.exchange)
        stream.subscribe(asked.items.append, asked.ends.append, lambda: asked.ends.append(None), scheduler=self.clock)
        self.clock.advance_to(self.clock.now_s + seconds)
        return asked

    @property
    def asked_keys(self) -> list[str]:
        """By which keys, or at which provider, something was sent."""
        return [sent.provider for sent in self.http.sent]


@dataclass
class Asked:
    """What came of a request."""

    exchange: Exchange = field(default_factory=Exchange)
    items: list[StreamToken] = field(default_factory=list[StreamToken])
    ends: list[Exception | None] = field(default_factory=list[Exception | None])

    @property
    def answered(self) -> bool:
        return self.ends == [None] and isinstance(self.items[-1], Finish)

    @property
    def error(self) -> ProviderError:
        (error,) = self.ends
        assert isinstance(error, ProviderError)
        return error

    @property
    def attempts(self) -> list[tuple[str, str, ErrorKind | None]]:
        return [(attempt.provider, attempt.key, attempt.error_kind) for attempt in self.exchange.attempts]


def failing(fault: Fault, retry_after_s: int | None = None) -> list[Script]:
    return [Script(fault=fault, retry_after_s=retry_after_s)]


GOOD = [Script()]


@pytest.mark.parametrize(("fault", "kind"), [(Fault.AUTH, ErrorKind.AUTH), (Fault.RATE_LIMIT, ErrorKind.RATE_LIMIT)])
def test_what_is_the_key_s_fault_is_asked_at_once_by_the_next_key(fault: Fault, kind: ErrorKind) -> None:
    world = World({"work": failing(fault, 30), "spare": GOOD, "last": GOOD})
    asked = world.ask(seconds=0.5)
    assert asked.answered
    assert asked.attempts == [("openai", "work", kind), ("openai", "spare", None)]
    assert world.asked_keys == ["work", "spare"]


def test_a_key_that_failed_so_is_asked_behind_the_others_until_its_time_is_over() -> None:
    world = World({"work": [*failing(Fault.RATE_LIMIT, 30), *GOOD], "spare": GOOD, "last": GOOD})
    assert world.ask(seconds=1).answered
    plan = world.manager.plan(ChatRequest(model="openai/m", messages=(Message(role="user", content="-"),)))
    assert [planned.route.label for planned in plan.routes] == [
        f"openai/m by key {key}" for key in ("spare", "last", "work")
    ]
    open_circuit = "though its circuit is open (rate_limit in phase headers, HTTP 429)"
    assert [planned.why for planned in plan.routes] == [
        "named by the request; by its key, spare",
        "named by the request; by its next key, last",
        f"named by the request; by its next key, work, {open_circuit}",
    ]
    assert world.ask(seconds=40).answered
    assert world.ask().answered
    assert world.asked_keys == ["work", "spare", "spare", "work"]


@pytest.mark.parametrize(
    "fault", [Fault.REFUSED, Fault.OVERLOADED, Fault.SERVER_ERROR, Fault.UNREACHABLE, Fault.SILENT]
)
def test_an_outage_is_no_fault_of_a_key_and_asks_no_other(fault: Fault) -> None:
    world = World({name: failing(fault) for name in KEYS}, settings=RoutingSettings(retry=RetryPolicy(max_attempts=2)))
    assert world.ask().error.kind in (ErrorKind.NETWORK, ErrorKind.OVERLOADED, ErrorKind.TIMEOUT)
    assert set(world.asked_keys) == {"work"}


def test_what_is_wrong_with_the_request_is_asked_by_no_other_key() -> None:
    for fault in (Fault.FILTERED, Fault.CONTEXT_LENGTH):
        world = World({name: failing(fault) for name in KEYS})
        world.ask()
        assert world.asked_keys == ["work"]


def test_an_outage_is_left_for_the_next_model_past_all_other_keys() -> None:
    world = World(
        {**{name: failing(Fault.REFUSED) for name in KEYS}, "anthropic": GOOD}, alias=("openai/m", "anthropic/m")
    )
    asked = world.ask("both")
    assert asked.answered
    assert asked.attempts == [("openai", "work", ErrorKind.NETWORK), ("anthropic", "", None)]


def test_the_next_model_is_asked_when_every_key_has_failed() -> None:
    scripts = {name: failing(Fault.AUTH) for name in KEYS}
    world = World({**scripts, "anthropic": GOOD}, alias=("openai/m", "anthropic/m"))
    asked = world.ask("both")
    assert asked.answered
    assert [(provider, key) for provider, key, _ in asked.attempts] == [
        *(("openai", key) for key in KEYS),
        ("anthropic", ""),
    ]


def test_the_error_of_all_keys_names_them_and_holds_none() -> None:
    asked = World(
        {"work": failing(Fault.AUTH), "spare": failing(Fault.RATE_LIMIT, 500), "last": failing(Fault.AUTH)}
    ).ask()
    assert asked.error.kind is ErrorKind.AUTH
    spare, last = "openai/m by key spare (rate_limit in phase headers)", "openai/m by key last (auth in phase headers)"
    assert asked.error.message.endswith(f"; also tried: {spare}, {last}")
    assert "sk-" not in f"{asked.error!r}{asked.exchange!r}"


def test_the_last_key_waits_and_is_asked_again_as_the_only_one_of_a_provider_is() -> None:
    limited = Script(fault=Fault.RATE_LIMIT, retry_after_s=3)
    world = World({"work": [limited], "spare": [limited], "last": [limited, Script()]})
    asked = world.ask()
    assert asked.answered
    assert world.asked_keys == ["work", "spare", "last", "last"]


def test_the_status_names_the_key_that_rests() -> None:
    world = World({"work": failing(Fault.RATE_LIMIT, 30), "spare": GOOD, "last": GOOD})
    world.ask(seconds=1)
    (model,) = ManagerLoad(world.manager).models({})
    assert (model.model, model.breaker) == ("openai/m", "open")
    assert model.cause == "key work: rate_limit in phase headers, HTTP 429"


def test_each_key_has_a_quota_of_its_own_and_one_that_is_full_waits_for_nobody() -> None:
    quotas = {("openai", "work"): Quota(requests=1), ("openai", "spare"): Quota(requests=2)}
    settings = RoutingSettings(admission=Admission(keys=quotas, default=Quota(requests=1), wait_s=0))
    world = World(dict.fromkeys(KEYS, GOOD), settings=settings)
    answered = [world.ask(seconds=1).answered for _ in range(4)]
    assert answered == [True] * 4
    assert world.asked_keys == ["work", "spare", "spare", "last"]
    error = world.ask(seconds=1).error
    assert (error.kind, error.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
    assert world.asked_keys == ["work", "spare", "spare", "last"]


def test_a_quota_of_streams_is_counted_for_each_key() -> None:
    quotas = {("openai", name): Quota(streams=1) for name in KEYS}
    settings = RoutingSettings(admission=Admission(keys=quotas, wait_s=0))
    world = World({name: [Script(headers_s=10)] for name in KEYS}, settings=settings)
    asked = [world.ask(seconds=1) for _ in range(4)]
    assert world.asked_keys == list(KEYS)
    assert asked[3].error.kind is ErrorKind.RATE_LIMIT
    world.clock.advance_to(100)
    assert [one.answered for one in asked[:3]] == [True] * 3


def test_a_shared_quota_of_a_key_is_of_all_its_models() -> None:
    admission = Admission(
        keys={("openai", "work"): Quota(requests=1, shared=True)}, models={"openai/m": Quota(streams=9)}
    )
    assert admission.of("openai", "m", "work") == ("openai by key work", Quota(requests=1, shared=True))
    assert admission.of("openai", "m", "spare") == ("openai/m by key spare", Quota(streams=9))
    assert admission.of("openai", "m") == ("openai/m", Quota(streams=9))


def test_one_key_is_asked_as_ever_and_told_by_its_name() -> None:
    world = World({"work": failing(Fault.AUTH)}, keys=("work",))
    for _ in range(3):  # no breaker comes between: the caller is told of the key at each request
        asked = world.ask()
        assert (asked.error.kind, asked.error.phase) == (ErrorKind.AUTH, Phase.HEADERS)
        assert "also tried" not in asked.error.message
        assert asked.attempts == [("openai", "work", ErrorKind.AUTH)]
    (route,) = world.manager.plan(REQUEST).routes
    assert (route.route.label, route.route.key) == ("openai/m", None)


def test_an_answer_that_breaks_off_is_gone_on_with_by_another_model_and_no_other_key() -> None:
    settings = RoutingSettings(fallback=FallbackPolicy(after_commit=AfterCommit.CONTINUE))
    cut = [Script(fault=Fault.CUT, after=3)]
    world = World({**dict.fromkeys(KEYS, cut), "anthropic": GOOD}, settings=settings, alias=("openai/m", "anthropic/m"))
    asked = world.ask("both")
    assert asked.answered
    assert [(provider, key) for provider, key, _ in asked.attempts] == [("openai", "work"), ("anthropic", "")]
