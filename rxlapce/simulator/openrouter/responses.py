"""OpenRouter's Responses: no `event:` lines, comments, the cost, and `[DONE]` at the end."""

from collections.abc import Iterator
from typing import Any, ClassVar

from rxlapce.simulator.openai.chat_completions import DONE
from rxlapce.simulator.openai.responses import ResponsesAnswer
from rxlapce.simulator.openrouter.chat import PROCESSING, costs, real_model
from rxlapce.simulator.reply import Reply
from rxlapce.simulator.tokenizer import alphanumeric
from rxlapce.simulator.wire import Part, WireEvent


class OpenRouterResponsesAnswer(ResponsesAnswer):
    """One response to a Responses request to OpenRouter."""

    keepalive: ClassVar[bytes] = PROCESSING

    def _make_id(self) -> str:
        return f"gen-{self._created}-{alphanumeric(self._chance, 20)}"

    def headers(self) -> dict[str, str]:
        """The id under which the answer can be looked up later."""
        return {"x-generation-id": self._id}

    def _prelude(self) -> Iterator[WireEvent]:
        yield Part.FRAME, PROCESSING

    def _trailer(self) -> Iterator[WireEvent]:
        yield Part.DONE, DONE

    def _line_start(self, kind: str) -> bytes:
        return f'data: {{"type":"{kind}",'.encode()

    def _response(self, status: str, output: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
        return super()._response(status, output, **members) | {"model": real_model(self._asked.model)}

    def _usage(self, reply: Reply) -> dict[str, Any]:
        usage = super()._usage(reply)
        return usage | costs(usage["input_tokens"], usage["output_tokens"])
