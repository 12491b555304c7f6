"""A conversation in the words of chat completions: turns, their pieces, and tools."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from rxlapce.dialects import reasoning_details
from rxlapce.dialects.json_values import is_array, is_object, loads, text_of
from rxlapce.dialects.refusals import answered_call, cannot
from rxlapce.dialects.turns import kind_of
from rxlapce.errors import ProviderError
from rxlapce.requests import CacheLife, Image, Message, OpaquePart, Part, RequestedCall, Tool

#: How a turn's thoughts go back: in a member of text, or as OpenRouter's list beside it.
ReasoningBack = Literal["reasoning_content", "reasoning_details"]

#: The opaque tokens of an answer that told of it, and are no part of the conversation.
REPORTS: Final = frozenset(
    {
        "annotations",
        "citations",
        "content_filter_results",
        "logprobs",
        "moderation",
        "phase",
        "prompt_filter_results",
        "reference",
        "search_results",
        "usage",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWriter:
    """Writes turns for `who`; for the other two see `ChatCompletions`."""

    who: str
    cache_control: bool
    reasoning_back: ReasoningBack | None

    def write(self, message: Message) -> dict[str, Any]:
        """One turn that `check_turns` took. Raises `ProviderError` (bad_request) for a piece that cannot be said."""
        if message.role == "assistant":
            return self._answer(message)
        for part in message.parts:
            if part.opaque is not None:
                raise self._wordless(part.opaque)
            if part.image is not None and message.role == "tool":
                raise cannot(f"{self.who} takes images in user turns only: leave the image out of the tool turn")
        turn: dict[str, Any] = {"role": message.role, "content": self._content(message)}
        if message.role == "tool":
            turn["tool_call_id"] = answered_call(message)
        return turn

    def tool(self, tool: Tool) -> dict[str, Any]:
        """One tool, with its cache mark where marks are said."""
        said = function_tool(tool)
        if tool.cache is not None and self.cache_control:
            said["cache_control"] = _cache_control(tool.cache)
        return said

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        """Text as a string, which every server takes; a list only where there is more to say."""
        pieces = [part for part in message.parts if kind_of(part) in ("text", "image")]
        marked = self.cache_control and any(part.cache is not None for part in pieces)
        if not marked and all(part.image is None for part in pieces):
            return message.text
        return [self._piece(part) for part in pieces]

    def _piece(self, part: Part) -> dict[str, Any]:
        if part.image is not None:
            self._refuse_mark(part, "image")
            return {"type": "image_url", "image_url": _image(part.image)}
        said: dict[str, Any] = {"type": "text", "text": part.text}
        if part.cache is not None and self.cache_control:
            said["cache_control"] = _cache_control(part.cache)
        return said

    def _answer(self, message: Message) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": "assistant", "content": self._content(message)}
        pieces = message.pieces()
        for part in pieces:
            if part.tool_call is not None:
                self._refuse_mark(part, "tool call")
                turn.setdefault("tool_calls", []).append(_call(part.tool_call))
            elif part.reasoning is not None:
                self._refuse_mark(part, "thought")
            elif part.opaque is not None:
                self._refuse_mark(part, "opaque piece")
                self._opaque(part.opaque, turn)
        self._thoughts(pieces, turn)
        if turn.get("audio") == {}:
            raise cannot(f"{self.who} takes spoken answers back by their id, and this one has none: leave it out")
        if not turn["content"] and len(turn) > len(("role", "content")):
            turn["content"] = None
        return turn

    def _opaque(self, part: OpaquePart, turn: dict[str, Any]) -> None:
        """`audio` goes back by the id that its first piece had, `images` whole; `_thoughts` has the details."""
        value = loads(part.raw)
        if part.kind in REPORTS:
            return
        if part.kind == "audio" and is_object(value):
            audio, audio_id = turn.setdefault("audio", {}), text_of(value.get("id"))
            if audio_id is not None:
                audio["id"] = audio_id
        elif part.kind == "images" and is_array(value):
            turn.setdefault("images", []).extend(value)
        elif part.kind != reasoning_details.KIND:
            raise self._wordless(part)

    def _wordless(self, part: OpaquePart) -> ProviderError:
        return cannot(f"{self.who} has no word for an opaque {part.kind!r} piece: send Message.plain()")

    def _thoughts(self, pieces: tuple[Part, ...], turn: dict[str, Any]) -> None:
        thoughts = [part for part in pieces if part.reasoning is not None]
        text = "".join(part.reasoning or "" for part in thoughts)
        details = reasoning_details.details_of(pieces)
        match self.reasoning_back:
            case "reasoning_details":
                if text:
                    turn["reasoning"] = text
                if details:
                    turn["reasoning_details"] = details
            case "reasoning_content":
                if any(detail.get("signature") or not reasoning_details.text_member(detail) for detail in details):
                    raise cannot(f"{self.who} takes thoughts back as text only, unsigned: send Message.plain()")
                if thoughts:
                    turn["reasoning_content"] = text
            case None:
                if thoughts or details:
                    raise cannot(f"{self.who} takes no reasoning back: send Message.plain()")

    def _refuse_mark(self, part: Part, what: str) -> None:
        if part.cache is not None and self.cache_control:
            raise cannot(f"{self.who} takes cache marks on text and on tools: leave it out of the {what}")


def function_tool(tool: Tool) -> dict[str, Any]:
    """One tool, as chat completions and those who learned from them describe it."""
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    if not tool.description:
        del function["description"]
    return {"type": "function", "function": function}


def _call(call: RequestedCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _image(image: Image) -> dict[str, Any]:
    url = image.url if image.url is not None else f"data:{image.media_type};base64,{image.data}"
    return {"url": url} if image.detail is None else {"url": url, "detail": image.detail}


def _cache_control(life: CacheLife) -> dict[str, str]:
    """Five minutes is what goes without saying."""
    return {"type": "ephemeral"} if life == "5m" else {"type": "ephemeral", "ttl": life}
