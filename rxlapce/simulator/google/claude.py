"""Claude on Vertex AI: Anthropic's Messages, the model in the path, and a version of Vertex AI's own in the body."""

import random
from collections.abc import Callable
from typing import Final

import msgspec

from rxlapce.simulator.anthropic.messages import MessagesAnswer
from rxlapce.simulator.anthropic.messages_request import read_count, read_messages
from rxlapce.simulator.asked import Asked, BadBody, Where
from rxlapce.simulator.options import split_model
from rxlapce.simulator.reply import prompt_tokens

#: Vertex AI's own version, and the one that Anthropic's Python SDK sends to every cloud (2.12, seen 2026-11-22).
VERSIONS: Final = ("vertex-2023-10-16", "2026-10-21")


class ClaudeOnVertex(MessagesAnswer):
    """Anthropic's answer with an id that tells where it comes from."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        super().__init__(asked, chance)
        self._id = self._id.replace("msg_", "msg_vrtx_")


def read_raw_predict(body: bytes, where: Where) -> Asked:
    """A request to rawPredict or streamRawPredict; the body's `stream` decides. Raises `BadBody`."""
    members = _members(body)
    if "model" in members:
        raise BadBody("model: Extra inputs are not permitted", "model")
    model, options = split_model(where.model or "")
    asked = _with_model(read_messages, members, where, model)
    return msgspec.structs.replace(asked, model=model, options=options)


def count_tokens(body: bytes, where: Where) -> bytes:
    """The count of a request, which here names its model."""
    members = _members(body)
    if "model" not in members:
        raise BadBody("model: Field required", "model")
    model = msgspec.json.decode(members["model"], type=str)
    asked = _with_model(read_count, members, where, model)
    return msgspec.json.encode({"input_tokens": prompt_tokens(asked)})


def _members(body: bytes) -> dict[str, msgspec.Raw]:
    """The body's members, without the version that must be among them."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(members.pop("anthropic_version", b"null"))
    except msgspec.DecodeError as error:
        raise BadBody(f"The request body is not valid JSON: {error}") from None
    if version is None:
        raise BadBody("anthropic_version: Field required", "anthropic_version")
    if version not in VERSIONS:
        raise BadBody(f"anthropic_version: Input should be {VERSIONS[0]!r}", "anthropic_version")
    return members


def _with_model(
    read: Callable[[bytes, Where], Asked], members: dict[str, msgspec.Raw], where: Where, model: str
) -> Asked:
    return read(msgspec.json.encode({**members, "model": model}), where)
