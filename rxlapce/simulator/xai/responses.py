"""xAI's Responses: ids of its own, and what the answer cost."""

import random
import uuid
from typing import Any

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.openai.responses import ResponsesAnswer
from rxlapce.simulator.reply import Reply
from rxlapce.simulator.xai.chat import cost_in_ticks


class XaiResponsesAnswer(ResponsesAnswer):
    """One response to a Responses request to xAI."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        super().__init__(asked, chance)
        self._calls = 0

    def _make_id(self) -> str:
        return str(uuid.UUID(bytes=self._chance.randbytes(16)))

    def _item_id(self, kind: str) -> str:
        """The response's id again; calls are numbered."""
        if kind != "fc":
            return f"{kind}_{self._id}"
        self._calls += 1
        return f"fc_{self._id}_{self._calls - 1}"

    def _call_id(self) -> str:
        return f"call-{uuid.UUID(bytes=self._chance.randbytes(16))}-{self._calls}"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        usage = super()._usage(reply)
        prompt, output = usage["input_tokens"], usage["output_tokens"]
        return usage | {
            "num_sources_used": 0,
            "num_server_side_tools_used": 0,
            "cost_in_usd_ticks": cost_in_ticks(prompt, output),
            "context_details": {"input_tokens": prompt, "output_tokens": output},
        }
