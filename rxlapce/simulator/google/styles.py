"""How the Gemini API and Vertex AI differ in what they send: order of members, which counts, ids, errors, headers."""

import base64
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from rxlapce.simulator.google.generate import safety_ratings

_HEADERS: Final = {
    "vary": "Origin, X-Origin, Referer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "0",
}


class GeminiStyle:
    """The Gemini API: the counts so far in every chunk, the role last."""

    headers: ClassVar[Mapping[str, str]] = {**_HEADERS, "server-timing": "gfet4t7; dur=742"}
    bare_errors: ClassVar[bool] = False

    def candidate(self, index: int, parts: Sequence[Any] | None, finish: str | None = None) -> dict[str, Any]:
        """See `Style.candidate`."""
        said: dict[str, Any] = {} if parts is None else {"content": {"parts": parts, "role": "model"}}
        if finish is not None:
            said["finishReason"] = finish
        said["index"] = index
        if parts is None:
            said["safetyRatings"] = safety_ratings(blocked=True)
        return said

    def counts(self, prompt: int, said: Any, thoughts: Any, total: Any, *, last: bool) -> dict[str, Any]:
        """See `Style.counts`."""
        counts: dict[str, Any] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": said,
            "totalTokenCount": total,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
            "thoughtsTokenCount": thoughts,
        }
        return {name: value for name, value in counts.items() if value}

    def error(self) -> dict[str, Any]:
        """The model is overloaded."""
        message = "The model is overloaded. Please try again later."
        return {"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}}

    def members(self, model: str, response_id: str) -> dict[str, Any]:
        """See `Style.members`."""
        return {"modelVersion": model, "responseId": response_id}

    def response_id(self, chance: random.Random) -> str:
        """See `Style.response_id`."""
        return base64.urlsafe_b64encode(chance.randbytes(17)).decode().rstrip("=")


class VertexStyle:
    """Vertex AI: the counts in the last chunk alone, the role first, an index only where it is not 0."""

    headers: ClassVar[Mapping[str, str]] = _HEADERS
    bare_errors: ClassVar[bool] = True

    def candidate(self, index: int, parts: Sequence[Any] | None, finish: str | None = None) -> dict[str, Any]:
        """See `Style.candidate`."""
        said: dict[str, Any] = {} if parts is None else {"content": {"role": "model", "parts": parts}}
        if finish is not None:
            said["finishReason"] = finish
        if index:
            said["index"] = index
        if parts is None:
            said["safetyRatings"] = safety_ratings(blocked=True)
        return said

    def counts(self, prompt: int, said: Any, thoughts: Any, total: Any, *, last: bool) -> dict[str, Any]:
        """See `Style.counts`."""
        traffic = {"trafficType": "ON_DEMAND"}
        if not last:
            return traffic
        counts: dict[str, Any] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": said,
            "totalTokenCount": total,
            **traffic,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
            "candidatesTokensDetails": said and [{"modality": "TEXT", "tokenCount": said}],
            "thoughtsTokenCount": thoughts,
        }
        return {name: value for name, value in counts.items() if value}

    def error(self) -> dict[str, Any]:
        """The answer was cancelled inside Google, as recorded."""
        error = {"code": 499, "message": "The operation was cancelled.", "status": "CANCELLED"}
        detail = {
            "@type": "type.googleapis.com/google.rpc.DebugInfo",
            "detail": "[ORIGINAL ERROR] generic::cancelled: ",
        }
        return {"error": {**error, "details": [detail]}}

    def members(self, model: str, response_id: str) -> dict[str, Any]:
        """See `Style.members`."""
        return {"modelVersion": model, "createTime": "2025-10-09T08:53:20.802582Z", "responseId": response_id}

    def response_id(self, chance: random.Random) -> str:
        """See `Style.response_id`."""
        return base64.urlsafe_b64encode(chance.randbytes(16)).decode().rstrip("=")
