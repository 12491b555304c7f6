"""`limits.store`: where it may stand, and that no password is shown."""

from pathlib import Path

import pytest

from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError
from rxlapce.operators.store_address import StoreAddress
from rxlapce.routing.settings import RoutingSettings
from rxlapce.secret import Secret

CANARY = "canary-0123456789"
EXPECTED = (
    "expected an address such as redis://HOST:6379/0, rediss://HOST:6379/0 (TLS) or unix:///PATH?db=0, "
    "a reference to one such as env:RXLAPCE_LIMITS_STORE, or null"
)
PASSWORD = (
    "a password does not belong into the file: put the address into a variable, and refer to it, "
    "such as store: env:RXLAPCE_LIMITS_STORE"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def loaded(file: Path, store: str, **environ: str) -> Config:
    file.write_text(f"limits:\n  store: {store}\n")
    return load_config(environ, file)


def test_an_address_without_a_password_stands_in_the_file(file: Path) -> None:
    config = loaded(file, "redis://quota.lan:7000/1")
    assert config.store == StoreAddress(host="quota.lan", port=7000, db=1)
    assert config.settings == RoutingSettings()


def test_one_with_a_password_stands_in_a_variable_and_is_not_shown(file: Path) -> None:
    config = loaded(file, "env:STORE", STORE=f" redis://team:{CANARY}@quota.lan\n")
    assert config.store == StoreAddress(host="quota.lan", user="team", password=Secret(CANARY))
    assert CANARY not in f"{config} {config!r}"


@pytest.mark.parametrize("text", ["limits: {store: null}", "limits: {}", "timeouts: {}"])
def test_without_a_store_there_is_none(file: Path, text: str) -> None:
    file.write_text(text)
    assert load_config({}, file).store is None


@pytest.mark.parametrize(
    ("store", "environ", "said"),
    [
        (f"redis://:{CANARY}@quota.lan", {}, PASSWORD),
        (f"redis://{CANARY}@quota.lan", {}, PASSWORD),
        (f"unix://:{CANARY}@/run/r.sock", {}, PASSWORD),
        (f"redis://quota.lan?password={CANARY}", {}, EXPECTED),
        (f"redis//:{CANARY}@quota.lan", {}, EXPECTED),
        (f"env:{CANARY}", {}, EXPECTED),
        (f"[{CANARY}]", {}, EXPECTED),
        ("12345", {}, EXPECTED),
        ("", {}, EXPECTED),
        ("env:STORE", {}, "the environment has no STORE: set it, or take `store` out"),
        ("env:STORE", {"STORE": " "}, "the environment has no STORE: set it, or take `store` out"),
        (
            "env:STORE",
            {"STORE": f"http://:{CANARY}@h"},
            f"in STORE, {EXPECTED.partition(', a reference')[0]}",
        ),
        ("env:STORE", {"STORE": f"redis://:{CANARY}@h:0"}, "in STORE, expected a port from 1 to 65535"),
    ],
)
def test_a_store_that_is_none_is_refused_and_never_shown(
    file: Path, store: str, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(file, store, **environ)
    assert str(refused.value).partition(": limits.store: ")[2].startswith(said)
    assert CANARY not in f"{refused.value!r} {refused.value.__cause__!r}"
