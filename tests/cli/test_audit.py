"""`rxlapce audit`: what somebody reads who checks the log, or asks who used what."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rxlapce.cli.main import cli
from rxlapce.errors import ConfigError, ErrorKind
from rxlapce.telemetry.audit import row_of
from rxlapce.telemetry.audit_chain import closed_files
from rxlapce.telemetry.audit_file import AuditFile, stamp
from rxlapce.testing.auditing import DAY, finished, refused, settled, written


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)


def exit_of(result: Result) -> int:
    return result.exit_code or int(result.return_value or 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of two days, two users and two providers."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, 1 << 20)
    for day, user, record in [
        (0, "ada", settled("1.1", finished())),
        (0, "ada", settled("1.2", refused(1, provider="other", model="small"), finished(2))),
        (0, "uid 7", settled("2.1", refused(), user="uid 7", finished=False, error_kind=ErrorKind.OVERLOADED)),
        (1, "ada", settled("1.3", finished(), client="=cmd()", finished=False)),
    ]:
        assert record.user == user
        file.append(row_of(record, stamp(DAY + timedelta(days=day))))
    file.close()
    return path


def test_a_sound_log_is_told_with_the_hash_to_keep(path: Path) -> None:
    result = run("verify", path)
    last = json.loads(path.read_bytes().splitlines()[-1])["hash"]
    assert result.output == f"sound: 5 rows in a file\nthe last is row 5, its hash {last}\n"
    assert exit_of(result) == 0
    assert exit_of(run("verify", path, "--expect", last)) == 0


def test_a_changed_log_is_told_by_file_and_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"outcome":"overloaded","dur', b'"outcome":"completed","dur'))
    result = run("verify", path)
    assert f"{path}:4: row 4 was changed: its content does not have its hash\n" in result.output
    assert "not as it was written: 5 rows in a file" in result.output
    assert exit_of(result) == 1


def test_the_finding_as_json_is_one_object(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    told = json.loads(run("verify", path, "--json").output)
    assert told["ok"] is False
    assert told["problems"] == [{"file": str(path), "line": 5, "message": "the line is cut off"}]


def test_a_file_that_is_written_to_stands_for_its_closed_ones(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 30, max_bytes=1200)
    closed = [file for _, file in closed_files(path)]
    assert f"in {len(closed) + 1} files" in run("verify", path).output
    assert "in a file\n" in run("verify", closed[1]).output
    assert "sound" in run("verify", *closed[1:3]).output
    closed[1].unlink()
    assert exit_of(run("verify", path)) == 1


def test_without_a_file_it_is_the_one_of_the_configuration(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "rxlapce.yaml"
    config.write_text(f"telemetry: {{audit: {{file: {path}}}}}\n")
    assert run("verify", "--config", config).output.startswith("sound: 5 rows")
    config.write_text("telemetry: {logs: {level: debug}}\n")
    with pytest.raises(ConfigError, match="names no audit log"):
        run("verify", "--config", config)


def test_a_report_is_a_table_by_user(path: Path) -> None:
    result = run("report", path)
    assert [line.split() for line in result.output.splitlines()] == [
        ["USER", "REQUESTS", "DONE", "FAILED", "GIVEN", "UP", "INPUT", "CACHED", "OUTPUT", "USD", "SECONDS"],
        ["ada", "3", "2", "0", "1", "30", "12", "60", "1.50", "6.00"],
        ["uid", "7", "1", "0", "1", "0", "0", "0", "0", "-", "2.00"],
    ]


def test_what_an_attempt_used_counts_where_it_was_made(path: Path) -> None:
    rows = [json.loads(line) for line in run("report", path, "--by", "provider,model", "--json").output.splitlines()]
    assert [(row["provider"], row["model"], row["requests"], row["attempts"], row["input_tokens"]) for row in rows] == [
        ("acme", "large", 4, 4, 30),
        ("other", "small", 0, 1, 0),
    ]


def test_days_can_be_chosen(path: Path) -> None:
    def days(*options: str) -> list[str]:
        lines = run("report", path, "--by", "day", "--json", *options).output.splitlines()
        return [json.loads(line)["day"] for line in lines]

    assert days() == ["2026-11-23", "2026-11-24"]
    assert days("--since", "2026-11-24") == ["2026-11-24"]
    assert days("--until", "2026-11-23") == ["2026-11-23"]
    assert days("--since", "2026-11-25") == []


def test_a_report_is_comma_separated_values_without_formulas(path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("report", path, "--by", "client", "--csv").output)))
    assert [row["client"] for row in rows] == ["'=cmd()", "lapce"]
    assert rows[1]["requests"] == "3"


def test_a_report_on_a_log_that_was_changed_says_so_beside_it(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"user":"uid 7"', b'"user":"uid 8"'))
    result = run("report", path)
    assert "the audit log has a problem: rxlapce audit verify" in result.stderr
    assert "uid 8" in result.stdout


@pytest.mark.parametrize("by", ["users", "user,user", ""])
def test_what_cannot_be_grouped_by_is_a_misuse(path: Path, by: str) -> None:
    result = CliRunner().invoke(cli, ["audit", "report", str(path), "--by", by])
    assert result.exit_code == 2
