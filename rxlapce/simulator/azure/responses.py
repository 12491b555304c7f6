"""Azure's answers beside chat completions: Responses and legacy completions, with what the content filter found."""

from collections.abc import Iterator, Sequence
from typing import Any

from rxlapce.simulator.azure.chat import PROMPT_FILTER_RESULTS, filter_results
from rxlapce.simulator.openai.chat_completions import encode
from rxlapce.simulator.openai.completions import Completion
from rxlapce.simulator.openai.responses import ResponsesAnswer
from rxlapce.simulator.reply import End, Reply
from rxlapce.simulator.wire import Part, WireEvent


class AzureResponsesAnswer(ResponsesAnswer):
    """One response to a Responses request to Azure: the filter's results are told at the end."""

    def _response(self, status: str, output: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
        if status == "in_progress":
            return super()._response(status, output, content_filters=None, **members)
        blocked = members.get("incomplete_details") == {"reason": "content_filter"}
        found: dict[str, Any] = {
            "blocked": blocked,
            "source_type": "completion",
            "content_filter_raw": None,
            "content_filter_results": filter_results(blocked=blocked),
        }
        return super()._response(status, output, content_filters=[found], **members)


class AzureCompletion(Completion):
    """One response to a completions request to Azure."""

    def _prelude(self) -> Iterator[WireEvent]:
        first = {"id": "", "object": "", "created": 0, "model": "", "prompt_filter_results": PROMPT_FILTER_RESULTS}
        yield Part.FRAME, b"data: " + encode(first | {"choices": []}) + b"\n\n"

    def _whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        whole = super()._whole(replies)
        for choice, reply in zip(whole["choices"], replies, strict=True):
            choice["content_filter_results"] = filter_results(blocked=reply.end is End.CONTENT_FILTER)
        return whole | {"prompt_filter_results": PROMPT_FILTER_RESULTS}
