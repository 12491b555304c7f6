"""What the documents show, works: Python runs, command lines parse, bytes decode, links lead somewhere."""

import ast
import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from rxlapce import ChatRequest, Message
from rxlapce.bridge import connect
from rxlapce.cli.child import running_daemon
from rxlapce.cli.main import cli
from rxlapce.codec.frame import Flag, Frame, FrameDecoder
from rxlapce.messages import Handshake, StreamChunk, StreamDone, decode
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.tokens import Finish, FinishKind, Seam, StreamToken, Text, ToolCall
from rxlapce.transports.shm import Descriptors, shm_unavailable

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: The model that the snippets ask, at a pace for tests.
FAST = "simulator/sim:tps=0"

needs_ring = pytest.mark.skipif(shm_unavailable() is not None, reason="this system has no shared memory for rings")


def snippets(document: str) -> list[str]:
    return PYTHON.findall((ROOT / document).read_text())


async def run_python(program: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", program, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return out.decode()


@pytest.fixture
async def daemon() -> AsyncIterator[Path]:
    async with running_daemon("--simulator") as path:
        yield path


async def answer_of(daemon: Path, question: str) -> str:
    request = ChatRequest(model=FAST, messages=(Message(role="user", content=question),))
    async with await connect(daemon) as client:
        return "".join([token.text async for token in client.chat_stream(request) if isinstance(token, Text)])


async def test_readme_s_library_example_prints_the_tokens_with_a_finish_last() -> None:
    program, *_ = snippets("README.md")
    assert (await run_python(program)).splitlines() == [
        "Text(text='Hello', choice=0)",
        "Finish(kind=<FinishKind.STOP: 'stop'>, raw='stop', model=None, others=())",
    ]


async def test_readme_s_daemon_example_prints_the_whole_answer(daemon: Path) -> None:
    _, program, _ = snippets("README.md")
    assert "simulator/sim" in program
    said = await run_python(program.replace("simulator/sim", FAST), RXLAPCE_SOCKET=str(daemon))
    assert said == await answer_of(daemon, "What is backpressure?")
    assert len(said) > 500


@pytest.mark.heavy
async def test_readme_s_notebook_example_shows_a_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, program = snippets("README.md")
    for name in [name for name in os.environ if name.endswith(("_KEY", "_TOKEN"))]:
        monkeypatch.delenv(name)
    cell: dict[str, Any] = {}
    program = program.replace("await inspect(", "trace = await inspect(") + "await lab.aclose()\n"
    await eval(compile(program, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), cell)  # noqa: S307 - our own
    assert [lane.name for lane in cell["trace"].lanes] == ["bytes", "events", "tokens"]
    assert cell["trace"].state == "completed"


@pytest.mark.parametrize(
    "which", [pytest.param(0, marks=pytest.mark.heavy), pytest.param(1, marks=needs_ring)], ids=["socket", "shm"]
)
async def test_client_of_the_protocol_s_document_prints_the_whole_answer(daemon: Path, which: int) -> None:
    program = snippets("docs/protocol.md")[which]
    assert "rxlapce" not in re.sub(r"rxlapce[/-]", "", program).replace("RXLAPCE_SOCKET", ""), "it imports none of ours"
    said = await run_python(program, RXLAPCE_SOCKET=str(daemon), MODEL=FAST)
    assert said == await answer_of(daemon, "What is backpressure?")


@pytest.mark.parametrize(
    ("reason", "printed"),
    [
        ("continue: b/m answers", "It is so."),
        ("rewind: b/m answers", "It is\n---\nIt so."),
        ("restart: b/m answers", "It is\n---\n so."),
        ("of tomorrow: who knows", "It is so."),
    ],
)
async def test_client_of_the_protocol_s_document_obeys_seams(tmp_path: Path, reason: str, printed: str) -> None:
    program, _ = snippets("docs/protocol.md")
    said = Text("It"), ToolCall(0, "c", "f", "{}"), Text(" is")
    tokens: list[StreamToken] = [*said, Seam(1, reason), Text(" so.")]

    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        for seq, token in enumerate(tokens):
            peer.send(StreamChunk(seq, token), request_id)
        peer.send(StreamDone(len(tokens), Finish(FinishKind.STOP)), request_id)
        await peer.receive_all()

    async with fake_daemon(tmp_path / "d.sock", script):
        assert await run_python(program, RXLAPCE_SOCKET=str(tmp_path / "d.sock")) == printed


# -- bytes ------------------------------------------------------------------------------------------------------------


def frames_shown(document: str) -> list[Frame]:
    """The frames of a document's hex dumps, each of which is one."""
    found: list[Frame] = []
    for dump in re.findall(r"^```text\n(0000  .*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL):
        data = b"".join(bytes.fromhex(line[6:54]) for line in dump.splitlines())
        decoder = FrameDecoder()
        found += decoder.feed(data)
        decoder.close()
    return found


def test_bytes_that_the_protocol_shows_are_the_frames_it_says() -> None:
    first, second = frames_shown("docs/protocol.md")
    assert decode(first.number, first.payload, receiver="daemon") == Handshake(client="example", transport="socket")
    assert (first.flags, first.request_id) == (Flag.REQUEST, 0)
    assert decode(second.number, second.payload, receiver="client") == StreamChunk(0, Text("Hi"))
    assert (second.flags, second.request_id) == (Flag.RESPONSE | Flag.STREAM_PART, 7)


def test_descriptors_that_the_protocol_lists_are_those_that_are_passed() -> None:
    section = (ROOT / "docs/protocol.md").read_text().partition("## Shared memory")[2].partition("**Layout.**")[0]
    listed = re.findall(r"^\d\. \*\*(\w+)\*\*", section, re.MULTILINE)
    assert len(listed) == len(get_args(Descriptors)), listed


# -- command lines ----------------------------------------------------------------------------------------------------


def command_lines() -> list[str]:
    """Every `rxlapce ...` of an indented block, without what the shell does around it."""
    found: list[str] = []
    for document in ("README.md", "docs/cli.md", "docs/service.md"):
        for line in (ROOT / document).read_text().splitlines():
            if line.startswith("    ") and "[-V" not in line:
                found += re.findall(r"(?:^ {4}|[|(] ?)rxlapce (.*?)(?=$| [|<>]|\)\"$)", line)
    return list(dict.fromkeys(found))


def test_the_documents_show_each_command_at_least_once() -> None:
    assert {line.split()[0] for line in command_lines()} == set(cli.list_commands(click.Context(cli)))


@pytest.mark.parametrize("line", command_lines())
def test_command_line_of_a_document_parses(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("answer.sse", "error.json", "answer.rec"):
        (tmp_path / name).touch()
    name, *arguments = shlex.split(line)
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    if isinstance(found, click.Group):
        _, found, arguments = found.resolve_command(click.Context(found), arguments)
        assert found is not None
    with found.make_context(name, arguments):
        pass


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_target_of_a_document_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"test", "lint"}
    shown = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert shown <= targets


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(target)
    assert broken == []
