import pytest

from rxlapce.operators.store_address import StoreAddress
from rxlapce.secret import Secret

CANARY = "canary%40/0123"


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("redis://127.0.0.1", StoreAddress(host="127.0.0.1"), "redis://127.0.0.1:6379/0"),
        ("redis://quota.lan:7000/3", StoreAddress(host="quota.lan", port=7000, db=3), "redis://quota.lan:7000/3"),
        ("redis://[::1]:7000/", StoreAddress(host="::1", port=7000), "redis://[::1]:7000/0"),
        (
            "rediss://team:canary%40@quota.lan/1",
            StoreAddress(host="quota.lan", tls=True, db=1, user="team", password=Secret("canary@")),
            "rediss://quota.lan:6379/1",
        ),
        ("redis://:canary@h", StoreAddress(host="h", password=Secret("canary")), "redis://h:6379/0"),
        ("unix:///run/r.sock?db=2", StoreAddress(path="/run/r.sock", db=2), "unix:///run/r.sock?db=2"),
        ("unix://:canary@/r.sock", StoreAddress(path="/r.sock", password=Secret("canary")), "unix:///r.sock?db=0"),
    ],
)
def test_an_address_is_read_and_shown_without_its_password(text: str, address: StoreAddress, shown: str) -> None:
    assert StoreAddress.parse(text) == address
    assert str(StoreAddress.parse(text)) == shown
    assert "canary" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "async+redis://127.0.0.1",
        "redis://",
        "redis://h:0",
        "redis://h:65536",
        "redis://h/x",
        "redis://h?password=" + CANARY,
        "redis://h/0?socket_timeout=9",
        f"redis://:{CANARY}@h",  # a slash that is not encoded
        f"redis://h:{CANARY}",
        "redis://h h",
        "redis://h\n",
        "unix://r.sock",
        "unix:///r.sock?password=" + CANARY,
    ],
)
def test_what_is_no_address_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        StoreAddress.parse(text)
    assert "canary" not in str(refused.value)
