"""What a request needs of a model: pictures, tools, room."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from rxlapce.requests import ChatRequest, Message

#: Bytes of UTF-8 a token. English has about four characters a token in every vendor's tokenizer; scripts with two or
#: three bytes a character have about one and a half or one character a token in the present ones (o200k and later).
BYTES_A_TOKEN: Final = 4
#: A picture of a thousand by a thousand points, roughly: vendors count from 85 to 1,600.
IMAGE_TOKENS: Final = 800
#: What an answer takes whose length nobody bounds.
ANSWER_TOKENS: Final = 500


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request needs. `prompt_tokens` and `answer_tokens` are estimates; see this module's constants.

    `answer_is_bounded`: the request itself says how long its answer may be at most.
    """

    images: bool
    tools: bool
    prompt_tokens: int
    answer_tokens: int
    answer_is_bounded: bool = False

    @property
    def tokens(self) -> int:
        """What prompt and answer take together."""
        return self.prompt_tokens + self.answer_tokens


def needs_of(request: ChatRequest) -> Needs:
    """What `request` needs. Linear in its length."""
    images = sum(part.image is not None for message in request.messages for part in message.parts)
    size = sum(_sizes(request.messages))
    size += sum(
        _size(tool.name) + _size(tool.description) + len(msgspec.json.encode(tool.parameters)) for tool in request.tools
    )
    return Needs(
        images=images > 0,
        tools=bool(request.tools),
        prompt_tokens=-(-size // BYTES_A_TOKEN) + images * IMAGE_TOKENS,
        answer_tokens=ANSWER_TOKENS if request.max_tokens is None else request.max_tokens,
        answer_is_bounded=request.max_tokens is not None,
    )


def _sizes(messages: Iterable[Message]) -> Iterable[int]:
    for message in messages:
        yield _size(message.content)
        for part in message.parts:
            yield _size(part.text or part.reasoning or (part.opaque.raw if part.opaque is not None else ""))
        for call in message.calls():
            yield _size(call.name) + _size(call.arguments)


def _size(text: str) -> int:
    """Bytes of UTF-8; a lone surrogate counts as the three that its replacement takes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
