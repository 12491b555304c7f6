"""Writes the tables of the documents that repeat what the code says, so that they cannot drift apart.

    python docs/tables.py            writes them
    python docs/tables.py --check    writes nothing; exits 1 and names what differs (a test runs this)

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the rest of a document is written by hand.
"""

import argparse
import dataclasses
import difflib
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from rxlapce import errors, messages, requests, tokens
from rxlapce.cli.main import COMMANDS, cli
from rxlapce.codec import frame
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.daemon.server import DaemonSettings
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Api, Provider
from rxlapce.transports import handshake, ring, shm, unix, writer

DOCS = Path(__file__).parent
DOCUMENTS = ("protocol.md", "cli.md", "providers.md", "requests.md")
MARK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(headings), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(thing: object) -> str:
    """The docstring on one line, in the words of JSON."""
    return re.sub(r"\bNone\b", "null", " ".join((thing.__doc__ or "").split()))


def paragraph(text: str) -> str:
    """The text in lines of at most 118 columns."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


# -- the wire ---------------------------------------------------------------------------------------------------------


def header() -> str:
    """The frame's header, from the table in the codec's own docstring."""
    rows = re.findall(r"^ +(\d+) +(\d+)  (.+)$", frame.__doc__ or "", re.MULTILINE)
    return table(
        ("offset", "bytes", "field"), ((at, size, text.replace("see `Flag`", "see below")) for at, size, text in rows)
    )


def flags() -> str:
    """The bits of a frame's flags, and which of them this version speaks."""
    spoken = frame.Flag.STREAM_PART | frame.Flag.PRIORITY | frame.Flag.REQUEST | frame.Flag.RESPONSE
    return table(
        ("bit", "name", "in version 1"),
        ((f"{flag.value:#04x}", flag.name or "", "spoken" if flag in spoken else "refused") for flag in frame.Flag),
    )


def message_types() -> str:
    """All message types by number."""
    receivers = {"daemon": "client → daemon", "client": "daemon → client", "both": "both ways"}
    return table(
        ("number", "`type`", "direction", "meaning"),
        (
            (f"`{number:#06x}`", f"`{messages.TAGS[number]}`", receivers[to], summary(message))
            for number, (message, to) in messages.TYPES.items()
        ),
    )


def members(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Name, type and default of each JSON member."""
    hints = typing.get_type_hints(kind)
    if issubclass(kind, msgspec.Struct):
        return [
            (f"`{one.encode_name}`", wire_type(hints[one.name]), default_of(one.default, one.default_factory))
            for one in msgspec.structs.fields(kind)
        ]
    return [
        (f"`{one.name}`", wire_type(hints[one.name]), default_of(one.default, one.default_factory))
        for one in dataclasses.fields(kind)
    ]


def default_of(default: Any, factory: Any) -> str:
    """The default as JSON; "required" where there is none."""
    if factory not in (msgspec.NODEFAULT, dataclasses.MISSING):
        default = factory()
    elif default in (msgspec.NODEFAULT, dataclasses.MISSING):
        return "required"
    return f"`{msgspec.json.encode(default).decode()}`"


def wire_type(hint: Any) -> str:
    """A Python type in the words of JSON."""
    plain = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "any"}
    if hint == tokens.StreamToken:
        return "[token](#tokens)"
    if hint in plain:
        return plain[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(wire_type(part) for part in parts)
    if origin is tuple:
        return f"array of {wire_type(parts[0])}"
    if origin is dict:
        return "object"
    if origin is typing.Literal:
        return " or ".join(f'`"{part}"`' for part in parts)
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def section(kind: type[Any], title: str, text: str) -> str:
    """A heading, a sentence and a table of members."""
    rows = members(kind)
    told = table(("member", "type", "default"), rows) if rows else "No members."
    return f"{title}\n\n{paragraph(text)}\n\n{told}"


def message_members() -> str:
    """The members of every message."""
    return "\n\n".join(
        section(message, f"#### `{messages.TAGS[number]}` ({number:#06x})", summary(message))
        for number, (message, _) in messages.TYPES.items()
    )


def nested() -> str:
    """The objects that messages hold, each under its own heading."""
    kinds: tuple[type[Any], ...] = (
        requests.ChatRequest,
        requests.CompletionRequest,
        requests.Message,
        requests.Part,
        requests.Image,
        requests.RequestedCall,
        requests.OpaquePart,
        requests.Tool,
        requests.ResponseFormat,
        messages.RingGrant,
        messages.AnsweredCall,
        messages.ErrorBody,
        tokens.Usage,
        tokens.Reported,
    )
    enums: tuple[type[StrEnum], ...] = (tokens.FinishKind, tokens.UsageSource)
    return "\n\n".join(
        [
            *(section(kind, f"#### {kind.__name__}", summary(kind)) for kind in kinds),
            *(
                f"#### {kind.__name__}\n\n{paragraph(summary(kind))}\n\n{', '.join(f'`{w}`' for w in kind)}"
                for kind in enums
            ),
        ]
    )


def stream_tokens() -> str:
    """Every kind of token with its members."""
    kinds: tuple[type[msgspec.Struct], ...] = typing.get_args(tokens.StreamToken)
    parts = [section(kind, f"#### `{kind.__struct_config__.tag}`", summary(kind)) for kind in kinds]
    return "\n\n".join([*parts, section(tokens.ChoiceEnd, "#### ChoiceEnd", summary(tokens.ChoiceEnd))])


def words(kind: type[StrEnum], meanings: Mapping[StrEnum, str]) -> str:
    """The words of an enum; each must have a meaning here."""
    return table(("word", "meaning"), ((f"`{word}`", meanings[word]) for word in kind))


def error_kinds() -> str:
    """What went wrong, and the retry that it comes with unless its finder knew better."""
    kind = errors.ErrorKind
    meanings = {
        kind.AUTH: "the key is wrong, or may not do this",
        kind.BILLING: "the account cannot pay",
        kind.QUOTA: "the account's allowance is used up",
        kind.RATE_LIMIT: "too many requests or tokens in a time",
        kind.OVERLOADED: "the provider, or the daemon, takes no more now",
        kind.TIMEOUT: "one of the time limits; `phase` says which",
        kind.NETWORK: "no connection, or it broke",
        kind.TRUNCATED: "the stream ended without its terminal event",
        kind.BAD_REQUEST: "the request, or the model's name, is wrong",
        kind.CONTEXT_LENGTH: "the prompt is too long for the model",
        kind.CONTENT_FILTER: "refused by a filter",
        kind.PROTOCOL: "the provider said what its own protocol does not allow",
        kind.CANCELLED: "the client cancelled, or the daemon stops",
        kind.INTERNAL: "a bug of the daemon's",
    }
    rows = ((f"`{one}`", meanings[one], f"`{errors.DEFAULT_RETRY[one]}`") for one in kind)
    return table(("`kind`", "meaning", "usual `retry`"), rows)


def error_retries() -> str:
    """Where the request may be tried again."""
    retry = errors.Retry
    return words(
        retry,
        {
            retry.NEVER: "the same request fails again",
            retry.SAME: "there, after `retry_after_s` if that is given",
            retry.OTHER_KEY: "there, with another key",
            retry.OTHER_PROVIDER: "elsewhere",
        },
    )


def error_phases() -> str:
    """How far the request had come."""
    phase = errors.Phase
    return words(
        phase,
        {
            phase.ADMIT: "nothing was sent",
            phase.CONNECT: "while connecting to the provider",
            phase.HEADERS: "after sending, before or with the response's headers",
            phase.FIRST_TOKEN: "after the headers, before the first visible token",
            phase.FLOW: "after it",
        },
    )


def protocol_errors() -> str:
    """The words of a `ProtocolFailure`: the classes of errors that end a connection."""
    kinds: list[type[errors.ProtocolError]] = [errors.ProtocolError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return table(("`error`", "meaning"), ((f"`{kind.__name__}`", summary(kind)) for kind in kinds))


def limits() -> str:
    """Every number that a peer can run into."""
    daemon = DaemonSettings(path=Path())
    return table(
        ("what", "limit", "past it"),
        (
            ("payload of a frame", f"{frame.MAX_PAYLOAD_BYTES:,} bytes", "`FrameTooLarge`, told by the header"),
            ("payload of a handshake", f"{handshake.MAX_HANDSHAKE_BYTES:,} bytes", "`FrameTooLarge`"),
            ("each of the two handshake frames", f"{daemon.handshake_s:g} s", "the daemon closes"),
            ("connections of a daemon", f"{daemon.max_connections}", "closed without a word"),
            ("requests under way of a connection", f"{daemon.limits.max_requests}", "an error of kind `rate_limit`"),
            ("ring, unless set otherwise", f"{daemon.ring_bytes:,} bytes", "the daemon waits for room"),
            ("ring, at most", f"{shm.MAX_CAPACITY:,} bytes", "the client refuses it"),
            ("frames that the daemon holds for one client", f"{writer.MAX_PENDING_BYTES:,} bytes", "it gives up"),
            ("an orderly stop waits for running streams", f"{daemon.drain_s:g} s", "an error of kind `cancelled`"),
            ("longest sleep beside a ring", f"{shm.NET_S:g} s", "look again, woken or not"),
            ("path of the socket", f"{unix.MAX_PATH_BYTES} bytes", "the daemon does not start"),
        ),
    )


def ring_fields() -> str:
    """The ring's layout, from the table in its own docstring."""
    rows = re.findall(r"^ +(\d+) +(writer|reader) +(\S.+)$", ring.__doc__ or "", re.MULTILINE)
    return table(("offset", "written by", "field"), rows)


# -- examples in bytes ------------------------------------------------------------------------------------------------


def hex_dump(data: bytes) -> str:
    """Sixteen bytes a line: offset, hex, text."""
    lines: list[str] = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{at:04x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {text}")
    return "```text\n" + "\n".join(lines) + "\n```"


def handshake_bytes() -> str:
    """A client's first frame."""
    message = messages.Handshake(client="example", transport="socket")
    number = messages.NUMBERS[messages.Handshake]
    return hex_dump(frame.encode_frame(number, int(frame.Flag.REQUEST), 0, messages.encode(message)))


def chunk_bytes() -> str:
    """One token of request 7."""
    message = messages.StreamChunk(0, tokens.Text("Hi"))
    number = messages.NUMBERS[messages.StreamChunk]
    flags = int(frame.Flag.RESPONSE | frame.Flag.STREAM_PART)
    return hex_dump(frame.encode_frame(number, flags, 7, messages.encode(message)))


# -- the command line -------------------------------------------------------------------------------------------------


def commands() -> str:
    """All commands."""
    return table(
        ("command", ""), ((f"[`rxlapce {name}`](#rxlapce-{name})", text) for name, (_, text) in COMMANDS.items())
    )


def command(name: str) -> str:
    """A command's usage and options."""
    context = click.Context(cli, info_name="rxlapce", terminal_width=100)  # not the terminal's, whatever it is
    found = cli.get_command(context, name)
    if found is None:
        raise KeyError(name)
    inner = click.Context(found, info_name=name, parent=context)
    rows: list[tuple[str, str]] = []
    for parameter in found.get_params(inner):
        record = parameter.get_help_record(inner)
        if record is not None and parameter.name != "help" and isinstance(parameter, click.Option):
            spelling, text = record
            rows.append((f"`{spelling}`", " ".join(text.split())))
    options = f"\n\n{table(('option', ''), rows)}" if rows else ""
    return f"```text\n{found.get_usage(inner)}\n```{options}"


def variables() -> str:
    """The environment variables of every provider."""
    rows: list[tuple[str, str, str]] = []
    for spec in SPECS.values():
        meanings = {spec.key_env: "its key", spec.base_url_env: "its base URL"}
        meanings |= {name: f"its {meaning}" for name, meaning in (spec.secret_env | spec.extra_env).items()}
        meanings |= {name: "found by its own library" for name in spec.needs if name not in meanings}
        for name, meaning in meanings.items():
            if not name:
                continue
            rows.append((f"`{name}`", f"`{spec.name}`", meaning + (", enough to use it" if name in spec.needs else "")))
    return table(("variable", "provider", "meaning"), rows)


# -- providers and requests -------------------------------------------------------------------------------------------

#: Where the simulator would be: what stands before a provider's own path in the tables.
HOST = "https://host"


def simulated() -> Mapping[str, Provider]:
    """Every provider, as if all were configured."""
    return load_provider_configs_from_env(simulated_environ(HOST))


def providers() -> str:
    """The providers, and what configures them."""
    return table(
        ("provider", "what it speaks", "set"),
        ((f"`{spec.name}`", spec.summary, " or ".join(f"`{name}`" for name in spec.needs)) for spec in SPECS.values()),
    )


def apis() -> str:
    """The APIs of every provider, the first of each the one for a request that names none."""
    rows: list[tuple[str, ...]] = []
    for name, provider in simulated().items():
        for api_name, api in provider.apis.items():
            path = (api.path if api.stream_path is None else api.stream_path).replace("{model}", "MODEL")
            counts = "yes" if api.counter is not None else ""
            rows.append((f"`{name}`", f"`{api_name}`", api.framing.name, f"`{path}`", counts))
    return table(("provider", "`api`", "framing", "path of a stream", "counts tokens"), rows)


def wishes() -> dict[str, requests.ChatRequest]:
    """A request for each member that a dialect may or may not be able to say."""
    ask = (requests.Message(role="user", content="hi"),)
    call = requests.RequestedCall(id="c1", name="f", arguments="{}")
    image = requests.Image(data="iVBORw0KGgo=", media_type="image/png")
    tool = requests.Tool(name="f")

    def marked(life: requests.CacheLife) -> tuple[requests.Message, ...]:
        return (requests.Message(role="user", parts=(requests.Part(text="hi", cache=life),)),)

    def asking(**members: Any) -> requests.ChatRequest:
        return requests.ChatRequest(**{"model": "m", "messages": ask, **members})

    called = (*ask, requests.Message(role="assistant", tool_calls=(call,)))
    return {
        "`system` turns": asking(messages=(requests.Message(role="system", content="be brief"), *ask)),
        "images (data)": asking(messages=(requests.Message(role="user", parts=(requests.Part(image=image),)),)),
        "images (https URL)": asking(
            messages=(requests.Message(role="user", parts=(requests.Part(image=requests.Image(url="https://e/x")),)),)
        ),
        "`tools`": asking(tools=(tool,)),
        "calls and results as history": asking(
            tools=(tool,), messages=(*called, requests.Message(role="tool", content="1", tool_call_id="c1"))
        ),
        "`tool_choice` none": asking(tools=(tool,), tool_choice="none"),
        "`tool_choice` required": asking(tools=(tool,), tool_choice="required"),
        "`tool_choice` by name": asking(tools=(tool,), tool_choice="f"),
        "`parallel_tool_calls`": asking(tools=(tool,), parallel_tool_calls=False),
        "`response_format`, a schema": asking(response_format=requests.ResponseFormat(json_schema={"type": "object"})),
        "`response_format`, any JSON": asking(response_format=requests.ResponseFormat()),
        "`max_tokens`": asking(max_tokens=9),
        "`temperature`": asking(temperature=0.5),
        "`top_p`": asking(top_p=0.5),
        "`top_k`": asking(top_k=9),
        "penalties": asking(presence_penalty=0.5, frequency_penalty=0.5),
        "`stop`": asking(stop=("end",)),
        "`seed`": asking(seed=1),
        "`n` over 1": asking(n=2),
        "`reasoning_effort`": asking(reasoning_effort="low"),
        "`reasoning_tokens`": asking(reasoning_tokens=2048),
        "cache mark, 5m": asking(messages=marked("5m")),
        "cache mark, 1h": asking(messages=marked("1h")),
    }


def sayable() -> str:
    """What each API of each provider can be asked for, found by asking."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, provider in simulated().items():
        for api_name, api in provider.apis.items():
            column = tuple("yes" if says(api, request) else "" for request in wishes().values())
            found.setdefault(column, []).append(f"{name} `{api_name}`")
    rows = zip(wishes(), *found, strict=True)
    return table(("member", *("<br>".join(names) for names in found.values())), rows)


def says(api: Api, request: requests.ChatRequest) -> bool:
    """Whether the API has words for all of the request."""
    try:
        api.dialect.chat_body(request, "anthropic.claude", stream=True)
    except errors.ProviderError:
        return False
    return True


TABLES: dict[str, Callable[[], str]] = {
    "header": header,
    "flags": flags,
    "types": message_types,
    "members": message_members,
    "objects": nested,
    "tokens": stream_tokens,
    "kinds": error_kinds,
    "retries": error_retries,
    "phases": error_phases,
    "protocol-errors": protocol_errors,
    "limits": limits,
    "ring": ring_fields,
    "handshake-bytes": handshake_bytes,
    "chunk-bytes": chunk_bytes,
    "commands": commands,
    "variables": variables,
    "providers": providers,
    "apis": apis,
    "sayable": sayable,
    **{f"command-{name}": partial(command, name) for name in COMMANDS},
}


def filled(text: str) -> str:
    """The document with each table as the code says it now. Raises KeyError for a table without a name here."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{TABLES[mark[2]]()}\n\n{mark[3]}", text)


def main() -> int:
    """Write the tables, or say how they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something differs")
    parser.add_argument("files", nargs="*", type=Path, default=[DOCS / name for name in DOCUMENTS])
    options = parser.parse_args()
    drifted = False
    for file in options.files:
        old = file.read_text()
        new = filled(old)
        if old == new:
            continue
        drifted = True
        if options.check:
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(file), "code"))
        else:
            file.write_text(new)
    return int(drifted and options.check)


if __name__ == "__main__":
    sys.exit(main())
