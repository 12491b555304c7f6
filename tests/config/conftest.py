"""What the tests of the file share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from rxlapce.config.schema import schema
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError

#: Nothing of it may be in any message.
KEY = "sk-test-0123456789abcdef"
ENVIRON: Mapping[str, str] = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "GROQ_API_KEY": KEY}

Errors = Callable[[str], list[str]]
Load = Callable[[str], Config]
Refused = Callable[[str], str]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a file of this text, beside an environment with keys of OpenAI, Anthropic and Groq."""

    def loaded(text: str) -> Config:
        path = tmp_path / "f.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(ENVIRON, path)

    return loaded


@pytest.fixture
def refused(load: Load, tmp_path: Path) -> Refused:
    """What is said to a wrong file, without the folder's name."""

    def said(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert KEY not in str(caught.value)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return said


@pytest.fixture(scope="session")
def schema_errors() -> Errors:
    """What the schema says to a file of this text."""
    from jsonschema import Draft202012Validator  # seconds to load where its formats' checkers are installed

    validator = Draft202012Validator(schema())

    def errors(text: str) -> list[str]:
        found = validator.iter_errors(yaml.safe_load(text))  # pyright: ignore[reportUnknownMemberType] # in its stubs
        return [error.message for error in found]

    return errors
