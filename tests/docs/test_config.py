"""What config.md shows of files and commands is what the commands say to these files."""

import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from rxlapce.cli.main import main
from rxlapce.config.file import SECTIONS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
#: Commands that need no daemon, no key and no network.
OFFLINE = ("check", "schema", "explain", "list")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def sessions() -> dict[str, tuple[Path, str, str]]:
    """The commands of all documents that can be run here: the document, the command line, and what it prints."""
    found: dict[str, tuple[Path, str, str]] = {}
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "console"):
            for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, printed = session.partition("\n")
                command = re.search(r"(?:^|\| )rxlapce (\w+)", line)
                if command is not None and command[1] in OFFLINE:
                    found[f"{document.name}: {line}"] = (document, line, printed)
    return found


SESSIONS = sessions()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, which is the current one, of a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.parametrize("session", SESSIONS)
def test_a_command_that_is_shown_prints_what_is_shown(
    session: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document, line, printed = SESSIONS[session]
    for block in (*blocks(document.read_text(), "yaml"), *blocks(document.read_text(), "text")):
        named = re.match(r"# ([a-z-]+\.yaml)\n", block)
        if named:
            (folder / named[1]).write_text(block)
    before, _, command = line.rpartition(" | ")
    said = before.removeprefix("echo ").strip("'") + "\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
    with pytest.raises(SystemExit):
        main(shlex.split(command)[1:])
    assert capsys.readouterr().out == printed


def test_the_page_shows_each_of_these_commands_and_every_section() -> None:
    shown = {session.partition("rxlapce ")[2].split()[0] for session in SESSIONS if session.startswith("config.md")}
    text = (ROOT / "docs/config.md").read_text()
    assert shown | {"schema"} == set(OFFLINE)
    assert "rxlapce schema >" in text
    assert [name for name in SECTIONS if f"\n### {name}\n" not in text] == []
