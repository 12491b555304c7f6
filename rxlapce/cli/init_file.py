"""The file that `rxlapce init` writes: what was found, in YAML with comments, to be read and changed by people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rxlapce.cli.init_found import Found

ALIAS = "fast"

_HEAD = """\
# The configuration of rxlapce. Keys never stand here, only where they are, such as env:OPENAI_API_KEY.
#
#   rxlapce check FILE      all that is wrong in this file, and where
#   rxlapce explain NAME    what a name in it means, such as limits.user
#   rxlapce schema          a JSON Schema, by which an editor completes it
#   rxlapce graph FILE      a drawing of what it describes
"""
_NO_PROVIDERS = """\
# Nobody was found who could be asked: a variable such as OPENAI_API_KEY configures a provider, and so does a server of
# your own, or any vendor, here.
#
# providers:
#   groq:
#     base_url: https://api.groq.com/openai/v1
#     key: env:GROQ_API_KEY
"""
_MORE = """\
# What each user of this machine, or whom a signed connection proves, may ask.
#
#   user: {requests: 120}
#   users: {"uid 1000": {requests: 600}}

# How long an attempt may take, in seconds.
#
# timeouts:
#   first_token_s: 30
#   idle_s: 30

# What is told of it: metrics for Prometheus, and who asked which model when.
#
# telemetry:
#   metrics: {listen: "127.0.0.1:9464"}
#   audit: {file: /var/log/rxlapce/audit.jsonl}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What was chosen: `models` in the order in which they are asked, each as `PROVIDER/MODEL`.

    `requests` a minute for each model, 0 for no limit. `goes_on` says that the next model goes on with an answer that
    broke off.
    """

    models: tuple[str, ...]
    requests: int = 60
    goes_on: bool = True


def written(found: Sequence[Found], choices: Choices) -> str:
    """The file's text."""
    parts = [_HEAD, _providers(found)]
    if choices.models:
        parts.append(_models(choices))
    parts.append(_limits(choices))
    return "\n".join(parts) + _MORE


def _providers(found: Sequence[Found]) -> str:
    lines = [f"# {each.name} comes from the {each.origin}; nothing has to be said here.\n"
             for each in found if each.base_url is None]  # fmt: skip
    here = [each for each in found if each.base_url is not None]
    if not found:
        return _NO_PROVIDERS
    if here:
        lines.append("providers:\n")
    for each in here:
        lines += [
            f"  {each.name}:{_told(each)}\n",
            f"    base_url: {each.base_url}\n",
            "    max_tokens_field: max_tokens  # the older name, which all servers of this kind know\n",
        ]
    return "".join(lines)


def _told(found: Found) -> str:
    count = len(found.models)
    return f"  # {count} model{'s' * (count != 1)} when this was written: rxlapce models {found.name}"


def _models(choices: Choices) -> str:
    lines = [
        "# A name for several models: rxlapce chat -m fast. The first is asked; if it fails, the next.\n",
        f"models:\n  {ALIAS}:\n    ask:\n",
        *(f"      - {json.dumps(model, ensure_ascii=False)}\n" for model in choices.models),
    ]
    if len(choices.models) > 1:
        word = "continue" if choices.goes_on else "fail"
        lines.append(
            f"    after_commit: {word}  # what becomes of an answer that breaks off: fail, continue, restart\n"
        )
    return "".join(lines)


def _limits(choices: Choices) -> str:
    said = f"{{requests: {choices.requests}}}" if choices.requests else "{requests: null}"
    return f"# How much may be asked: of each model, a minute.\nlimits:\n  default: {said}\n"
