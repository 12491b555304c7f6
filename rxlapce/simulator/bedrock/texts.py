"""The models of Bedrock's InvokeModel that complete a text: Titan, Llama, Mistral and Cohere, as recorded in 2025.

Each says a piece of text, why it ended and some counts under names of its own. Source: the Amazon Bedrock user guide,
"Inference request parameters and response fields for foundation models".
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.reply import End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import hexadecimal
from rxlapce.simulator.wire import Part

_encode: Final = msgspec.json.Encoder().encode

#: What a model without a word for it says when its answer just ended.
_ENDED: Final = frozenset({End.STOP, End.STOP_SEQUENCE, End.TOOL_CALLS, End.REFUSAL})


class Vocabulary(Protocol):
    """One vendor's names."""

    def piece(self, text: bytes, number: int, /) -> bytes:
        """The payload with the piece `number`, from 1; `text` is its JSON string."""
        ...

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """The payload that ends a stream."""
        ...

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """The answer to a unary request."""
        ...


class TextWords:
    """An answer as one vendor's payloads, before Bedrock wraps them: a piece each, and one for the end."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def payloads(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """The stream's payloads. These models say no reasoning."""
        reply = replies[0]
        for number, piece in enumerate(reply.text_pieces(), 1):
            yield Part.TOKEN, self._vocabulary.piece(_encode(piece), number)
        yield Part.FINISH, _encode(self._vocabulary.last(reply))

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """The answer to a unary request."""
        reply = replies[0]
        return _encode(self._vocabulary.whole("".join(reply.text_pieces()), reply))

    def huge(self, size_bytes: int) -> bytes:
        """A payload with so many letters."""
        return self._vocabulary.piece(b'"%s"' % (b"x" * size_bytes), 1)


class Titan:
    """Amazon Titan Text."""

    def __init__(self, asked: Asked, _chance: random.Random) -> None:
        self._prompt_tokens = prompt_tokens(asked)

    def piece(self, text: bytes, number: int) -> bytes:
        """The first one has the prompt's count."""
        count = b',"inputTextTokenCount":%d' % self._prompt_tokens if number == 1 else b""
        return b'{"outputText":%s,"index":0%s}' % (text, count)

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """With the count of the answer."""
        ending = {"totalOutputTextTokenCount": reply.text_tokens, "completionReason": self._reason(reply)}
        return {"outputText": "", "index": 0, **ending, "inputTextTokenCount": self._prompt_tokens}

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """A list of one result."""
        result = {"tokenCount": reply.text_tokens, "outputText": text, "completionReason": self._reason(reply)}
        return {"inputTextTokenCount": self._prompt_tokens, "results": [result]}

    def _reason(self, reply: Reply) -> str:
        return "FINISH" if reply.end in _ENDED else "LENGTH" if reply.end is End.LENGTH else "CONTENT_FILTERED"


class Llama:
    """Meta Llama. It has no word for a filter."""

    def __init__(self, asked: Asked, _chance: random.Random) -> None:
        self._prompt_tokens = prompt_tokens(asked)

    def piece(self, text: bytes, number: int) -> bytes:
        """The first one has the prompt's count."""
        count = b"%d" % self._prompt_tokens if number == 1 else b"null"
        return b'{"generation":%s,"prompt_token_count":%s,"generation_token_count":%d,"stop_reason":null}' % (
            text,
            count,
            number,
        )

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """With the reason."""
        return {**self.whole("", reply), "prompt_token_count": None}

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """All of it."""
        return {
            "generation": text,
            "prompt_token_count": self._prompt_tokens,
            "generation_token_count": reply.text_tokens,
            "stop_reason": "length" if reply.end is End.LENGTH else "stop",
        }


class Mistral:
    """Mistral's models that complete a text. They count nothing and have no word for a filter."""

    def __init__(self, _asked: Asked, _chance: random.Random) -> None: ...

    def piece(self, text: bytes, _number: int) -> bytes:
        """A list of one output."""
        return b'{"outputs":[{"text":%s,"stop_reason":null}]}' % text

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """With the reason."""
        return self.whole("", reply)

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """A list of one output."""
        return {"outputs": [{"text": text, "stop_reason": "length" if reply.end is End.LENGTH else "stop"}]}


def _cohere_reason(reply: Reply) -> str:
    return "COMPLETE" if reply.end in _ENDED else "MAX_TOKENS" if reply.end is End.LENGTH else "ERROR_TOXIC"


class Command:
    """Cohere Command."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._prompt = asked.prompt
        self._id = hexadecimal(chance, 32)

    def piece(self, text: bytes, _number: int) -> bytes:
        """One of an only generation."""
        return b'{"index":0,"is_finished":false,"text":%s}' % text

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """Without the text."""
        return {"finish_reason": _cohere_reason(reply), "is_finished": True}

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """A list of one generation."""
        generation = {"finish_reason": _cohere_reason(reply), "id": self._id, "text": text}
        return {"generations": [generation], "id": self._id, "prompt": self._prompt}


class CommandR:
    """Cohere Command R, whose last payload repeats all that was said."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._prompt = asked.prompt
        self._ids = {"response_id": hexadecimal(chance, 32), "generation_id": hexadecimal(chance, 32)}

    def piece(self, text: bytes, _number: int) -> bytes:
        """A typed event."""
        return b'{"is_finished":false,"event_type":"text-generation","text":%s}' % text

    def last(self, reply: Reply) -> Mapping[str, Any]:
        """With the whole answer beside the reason."""
        response = self.whole("".join(reply.text_pieces()), reply)
        reason = response["finish_reason"]
        return {"is_finished": True, "event_type": "stream-end", "response": response, "finish_reason": reason}

    def whole(self, text: str, reply: Reply) -> Mapping[str, Any]:
        """With the conversation."""
        turns = [{"role": "USER", "message": self._prompt}, {"role": "CHATBOT", "message": text}]
        return {**self._ids, "text": text, "chat_history": turns, "finish_reason": _cohere_reason(reply)}
