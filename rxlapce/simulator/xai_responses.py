"""xAI's Responses: ids of its own, and what the answer cost."""

import uuid
from typing import Any

from rxlapce.simulator.reply import Reply
from rxlapce.simulator.responses import ResponsesAnswer
from rxlapce.simulator.xai_chat import cost_in_ticks


class XaiResponsesAnswer(ResponsesAnswer):
    """One response to a Responses request to xAI."""

    def _make_id(self) -> str:
        return str(uuid.UUID(bytes=self._chance.randbytes(16)))

    def _item_id(self, kind: str) -> str:
        return f"{kind}_{self._id}"

    def _usage(self, reply: Reply) -> dict[str, Any]:
        usage = super()._usage(reply)
        prompt, output = usage["input_tokens"], usage["output_tokens"]
        return usage | {
            "num_sources_used": 0,
            "num_server_side_tools_used": 0,
            "cost_in_usd_ticks": cost_in_ticks(prompt, output),
            "context_details": {"input_tokens": prompt, "output_tokens": output},
        }
