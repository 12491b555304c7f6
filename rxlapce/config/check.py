"""What is wrong in a file, found without what it speaks of: no key is fetched, and no environment is looked at."""

from collections.abc import Mapping
from typing import Final

from rxlapce.config.document import Problems, read_document
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.file import SECTIONS, FileText, read_sections
from rxlapce.config.sources import Config, read_config
from rxlapce.errors import ConfigError, Problem
from rxlapce.providers import SPECS

#: Who may be configured elsewhere than in the file.
ELSEWHERE: Final = (*SPECS, "simulator")


def config_of(file: FileText | None, environ: Mapping[str, str]) -> Config:
    """The configuration, as far as it can be known without following any reference.

    Who could be configured elsewhere counts as configured. Raises `ConfigError` with all that is wrong.
    """
    providers = load_provider_configs_from_env(environ)
    if file is None:
        return Config(providers=providers)
    problems = Problems()
    config = read_config(read_sections(file, problems), None, providers, ELSEWHERE)
    problems.raise_any()
    return config


def problems_of(text: str, name: str, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    """All that is wrong in `text`, which is called `name`, in the order of the lines; nothing if it is right.

    With `environ` as it would be run there: its providers are those that there are, and keys are fetched. Without,
    every provider that an environment could configure counts as configured, and references are read but not followed.
    """
    try:
        raise_problems(text, name, environ)
    except ConfigError as error:
        return error.problems or (Problem(name, 0, 0, "", str(error)),)
    return ()


def raise_problems(text: str, name: str, environ: Mapping[str, str] | None = None) -> None:
    """Return if `problems_of` is nothing; raise them as one `ConfigError` otherwise."""
    problems = Problems()
    sections = read_document(text, name, problems).members(SECTIONS)
    if environ is None:
        read_config(sections, None, {}, ELSEWHERE)
    else:
        read_config(sections, environ, load_provider_configs_from_env(environ))
    problems.raise_any()
