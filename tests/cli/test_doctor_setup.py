"""The doctor's checks of what is configured, each where all is well and where it is not; never a key."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rxlapce.cli import doctor_setup as setup
from rxlapce.cli.doctor_facts import Check, Facts, Finding, Level, facts_here

KEY = "sk-doctor-0123456789"
ALIAS = "models:\n  fast: {ask: [openai/gpt-4.1]}\n"


@pytest.fixture
def facts(folder: Path) -> Facts:
    """OpenAI is configured; the home is empty; every optional package is there."""
    return replace(
        facts_here(folder / "d.sock", None, None),
        environ={"OPENAI_API_KEY": KEY},
        home=folder,
        has_module=anything,
    )


def anything(name: str) -> bool:
    return bool(name)


def nothing(name: str) -> bool:
    return not name


def found(check: Check, facts: Facts) -> list[Finding]:
    findings = list(check(facts))
    for finding in findings:
        assert bool(finding.remedy) == (finding.level is not Level.OK)
        assert KEY not in finding.said + finding.remedy
    return findings


def one(check: Check, facts: Facts) -> Finding:
    (finding,) = found(check, facts)
    return finding


def with_environ(facts: Facts, **environ: str) -> Facts:
    return replace(facts, environ=environ)


def test_the_file(facts: Facts, folder: Path) -> None:
    assert "no file" in one(setup.config, facts).said
    file = folder / "rxlapce.yaml"
    with_file = replace(facts, config=file)
    assert "cannot be read" in one(setup.config, with_file).said
    file.write_text(ALIAS)
    assert one(setup.config, with_file).level is Level.OK
    file.chmod(0o666)
    assert one(setup.config, with_file).remedy == f"chmod o-w {file}"
    file.write_text("modles: {}\n")
    finding = one(setup.config, with_file)
    assert (finding.level, "modles" in finding.said) == (Level.PROBLEM, True)


def test_a_wrong_setting_of_the_environment_is_told_without_the_key(facts: Facts) -> None:
    finding = one(setup.config, with_environ(facts, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"https://x?key={KEY}"))
    assert (finding.level, "OPENAI_BASE_URL" in finding.said) == (Level.PROBLEM, True)


def test_who_is_configured(facts: Facts) -> None:
    assert one(setup.providers, facts).said == "openai, by environment: OPENAI_API_KEY"
    nobody = one(setup.providers, with_environ(facts))
    assert (nobody.level, "OPENAI_API_KEY" in nobody.remedy) == (Level.PROBLEM, True)
    assert "rxlapce serve --simulator" in nobody.remedy


@pytest.mark.parametrize(
    ("environ", "module", "extra"),
    [
        ({"AWS_REGION": "us-east-1", "AWS_PROFILE": "me"}, "botocore", "bedrock"),
        ({"VERTEX_PROJECT_ID": "p"}, "google.auth", "vertex"),
        ({"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}, "azure.identity", "azure"),
    ],
)
def test_a_provider_whose_package_is_missing(facts: Facts, environ: Mapping[str, str], module: str, extra: str) -> None:
    configured = with_environ(facts, **environ)
    assert one(setup.extras, configured) == Finding(Level.OK, module)

    def all_but_it(name: str) -> bool:
        return name != module

    without = replace(configured, has_module=all_but_it)
    assert one(setup.extras, without).remedy == f"pip install 'rxlapce[{extra}]'"


def test_a_provider_with_a_plain_key_needs_no_package(facts: Facts) -> None:
    bare = replace(facts, has_module=nothing)
    assert one(setup.extras, bare).said == "none is needed"
    by_key = with_environ(bare, AWS_BEARER_TOKEN_BEDROCK=KEY, AWS_REGION="us-east-1")
    assert one(setup.extras, by_key).level is Level.OK


def test_a_store_of_quotas_needs_redis(facts: Facts, folder: Path) -> None:
    (folder / "c.yaml").write_text("limits:\n  store: redis://127.0.0.1:1/0\n")
    shared = replace(facts, config=folder / "c.yaml")
    assert one(setup.extras, shared).said == "redis"
    without = replace(shared, has_module=nothing)
    assert "limits.store needs redis" in one(setup.extras, without).said


def test_what_rests_on_a_configuration_that_is_wrong_is_not_told_twice(facts: Facts, folder: Path) -> None:
    wrong = replace(facts, config=folder / "none.yaml")
    assert [found(check, wrong) for check in (setup.providers, setup.extras, setup.online)] == [[], [], []]


def test_files_with_keys(facts: Facts, folder: Path) -> None:
    assert one(setup.key_files, facts).said == "there are none"
    file = folder / "google.json"
    named = with_environ(facts, GOOGLE_APPLICATION_CREDENTIALS=str(file))
    missing = one(setup.key_files, named)
    assert (missing.level, "No such file" in missing.said) == (Level.PROBLEM, True)
    file.write_text(KEY)
    file.chmod(0o644)
    assert one(setup.key_files, named).remedy == f"chmod 600 {file}"
    file.chmod(0o600)
    assert one(setup.key_files, named).level is Level.OK


def test_the_aws_file_of_the_home_is_looked_at(facts: Facts, folder: Path) -> None:
    (folder / ".aws").mkdir()
    (folder / ".aws" / "credentials").touch(0o600)
    assert one(setup.key_files, facts).level is Level.OK
    (folder / ".aws" / "credentials").chmod(0o640)
    assert one(setup.key_files, facts).level is Level.WARNING


def test_the_file_of_secrets_to_sign_with(facts: Facts, folder: Path) -> None:
    signing = replace(facts, key_file=folder / "keys")
    assert one(setup.key_files, signing).level is Level.PROBLEM
    (folder / "keys").touch(0o600)
    (folder / "keys").write_text("me " + "ab" * 32)
    assert one(setup.key_files, signing).said == f"{folder / 'keys'} has 1 secrets to sign with"
    (folder / "keys").chmod(0o644)
    finding = one(setup.key_files, signing)
    assert (finding.level, "ab" * 32 in finding.said) == (Level.PROBLEM, False)


@pytest.mark.parametrize(
    ("url", "expected", "said"),
    [
        ("http://me:secret@proxy.test:3128", Level.OK, "HTTPS_PROXY is proxy.test:3128"),
        ("proxy.test", Level.OK, "HTTPS_PROXY is proxy.test"),
        ("socks5://proxy.test", Level.PROBLEM, "HTTPS_PROXY is no proxy that can be used: socks5"),
        ("http://", Level.PROBLEM, "HTTPS_PROXY is no proxy that can be used: http"),
        ("http://h:port", Level.PROBLEM, "HTTPS_PROXY is no proxy that can be used: it has no host"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy(facts: Facts, name: str, url: str, expected: Level, said: str) -> None:
    finding = one(setup.proxies, with_environ(facts, **{name: url}))
    assert (finding.level, finding.said) == (expected, said)
    assert "secret" not in finding.said


def test_no_proxy(facts: Facts) -> None:
    assert one(setup.proxies, facts).said == "none is set"


@pytest.mark.parametrize(
    ("skew_s", "expected", "said"),
    [
        (2.0, Level.OK, "the clock agrees with h"),
        (-29.0, Level.OK, "the clock agrees with h"),
        (60.0, Level.WARNING, "the clock is 60 s behind h"),
        (-60.0, Level.WARNING, "the clock is 60 s ahead of h"),
        (-7200.0, Level.PROBLEM, "the clock is 7200 s ahead of h: signatures and tokens will be refused"),
    ],
)
def test_the_clock(skew_s: float, expected: Level, said: str) -> None:
    finding = setup.clock(skew_s, "h")
    assert (finding.level, finding.said) == (expected, said)
