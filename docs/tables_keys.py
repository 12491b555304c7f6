"""The tables of keys.md: references, commands, and what is said to a vault that was tampered with, all of it tried."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from tables_markdown import table

from rxlapce.cli.key import key
from rxlapce.cli.main import cli
from rxlapce.config.keys import SCHEMES
from rxlapce.errors import VaultError
from rxlapce.secret import Secret
from rxlapce.testing.vaults import FAST
from rxlapce.vault import Vault

Members = dict[str, Any]
#: What each scheme leads to.
MEANINGS: Final[Mapping[str, str]] = {
    "env": "a variable of the environment; blanks around a key are not part of it",
    "file": "a file of this user alone: mode 0600 or stricter; `file:~/PATH` is below the home folder",
    "keyring": "the desktop's keyring: macOS Keychain, Secret Service, KWallet; needs `rxlapce[keyring]`",
    "exec": "what a command prints within 10 s, such as a password manager's; no shell sees it",
    "cred": "a credential that systemd gives the service (`LoadCredential=`)",
    "vault": "rxlapce's own vault",
}


def references() -> str:
    """Every scheme."""
    return table(("reference", "leads to"), ((f"`{form}`", MEANINGS[name]) for name, (_, form) in SCHEMES.items()))


def command(name: str) -> str:
    """Usage and options of `rxlapce key NAME`."""
    context = click.Context(key, info_name="key", parent=click.Context(cli, info_name="rxlapce", terminal_width=100))
    found = key.commands[name]
    inner = click.Context(found, info_name=name, parent=context)
    records = (each.get_help_record(inner) for each in found.get_params(inner) if isinstance(each, click.Option))
    rows = ((f"`{record[0]}`", " ".join(record[1].split())) for record in records if record is not None)
    return f"```text\n{found.get_usage(inner)}\n```\n\n{table(('option', ''), rows)}"


# -- tamperings -------------------------------------------------------------------------------------------------------


def rewritten(change: Callable[[Members, Members], object]) -> Callable[[bytes, bytes], bytes]:
    """What somebody makes of the vault who knows its format: the members changed, and the checksum made to fit."""

    def made(now: bytes, old: bytes) -> bytes:
        members = json.loads(now)
        del members["checksum"]
        change(members, json.loads(old))
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return json.dumps({**members, "checksum": hashlib.sha256(text.encode()).hexdigest()}).encode()

    return made


def _swap(members: Members, _: Members) -> None:
    one, two = members["entries"]
    one["nonce"], two["nonce"] = two["nonce"], one["nonce"]
    one["sealed"], two["sealed"] = two["sealed"], one["sealed"]


def _put_back(members: Members, old: Members) -> None:
    members["entries"][1] = old["entries"][0]


#: What is done to the file: to one with anthropic/home and openai/work, that had another openai/work before.
TAMPERINGS: Final[Mapping[str, Callable[[bytes, bytes], bytes]]] = {
    "cut short": lambda now, _: now[:500],
    "emptied": lambda now, _: b"",
    "one byte changed": lambda now, _: now.replace(b'"generation": 3', b'"generation": 7'),
    "another file in its place": lambda now, _: b"key: value\n",
    "a later format": rewritten(lambda members, _: members.update(version=2)),
    "a member added": rewritten(lambda members, _: members.update(extra=1)),
    "Argon2id told to take 100 GiB": rewritten(lambda members, _: members["lock"].update(memory_kib=100 << 20)),
    "Argon2id made cheap": rewritten(lambda members, _: members["lock"].update(memory_kib=9)),
    "two entries swapped": rewritten(_swap),
    "an entry renamed": rewritten(lambda members, _: members["entries"][1].update(provider="xai")),
    "an entry removed": rewritten(lambda members, _: members["entries"].pop()),
    "an old entry put back": rewritten(_put_back),
    "the seal replaced": rewritten(lambda members, _: members.update(seal="00" * 32)),
}


def tamperings() -> str:
    """What the vault says to each, and to a wrong passphrase."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vault.json"

        def vault(said: str = "correct horse battery") -> Vault:
            return Vault(path, lambda: Secret(said), cost=FAST)

        vault().put("openai", "work", Secret("sk-old"))
        old = path.read_bytes()
        vault().put("openai", "work", Secret("sk-new"))
        vault().put("anthropic", "home", Secret("sk-other"))
        now = path.read_bytes()
        rows = [("nothing, but the passphrase is wrong", _said(vault("another passphrase"), folder))]
        for what, tampered in TAMPERINGS.items():
            path.write_bytes(tampered(now, old))
            rows.append((what, _said(vault(), folder)))
        path.write_bytes(now)
        path.chmod(0o640)
        rows.append(("opened to a group", _said(vault(), folder)))
    return table(("what was done", "what is said"), rows)


def _said(vault: Vault, folder: str) -> str:
    try:
        vault.open()
    except VaultError as error:
        return str(error).replace(f"{folder}/", "")
    raise AssertionError("the vault opened")


TABLES: Mapping[str, Callable[[], str]] = {
    "references": references,
    "tamperings": tamperings,
    **{f"key-{name}": partial(command, name) for name in key.commands},
}
