"""OpenRouter's `reasoning_details`: from a stream to tokens, and from a turn back to what the stream said.

Providers check their thoughts when they come back, so that nothing of a detail may be lost. One that is text comes in
pieces: their text (`reasoning.text`, `reasoning.summary`) and signature become `Reasoning` tokens, and where the detail
ends a label follows: an `Opaque` of kind `reasoning_details` with all its members, the text and the signature empty.
The thoughts before a label and the label make the detail again. Details without text (`reasoning.encrypted`, and what
comes tomorrow) are one `Opaque`, whole.

Source: OpenRouter's documentation, "Reasoning Tokens", "Preserving reasoning".
"""

from collections.abc import Iterable
from typing import Any, Final

from rxlapce.dialects.json_values import dumps, is_array, is_object, loads, text_of
from rxlapce.dialects.refusals import cannot
from rxlapce.requests import OpaquePart, Part
from rxlapce.tokens import Opaque, Reasoning, StreamToken

KIND: Final = "reasoning_details"

#: type -> the member that is its text.
_TEXT_MEMBER: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


def text_member(detail: Any) -> str | None:
    """The name of the member that holds the detail's text; None for one that is no text."""
    kind = detail.get("type") if is_object(detail) else None
    return _TEXT_MEMBER.get(kind) if isinstance(kind, str) else None


class DetailReader:
    """The details of one choice. Memory: the members of the one that is under way, without its text."""

    __slots__ = ("_choice", "_label")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._label: dict[str, Any] | None = None

    def read(self, details: Any, text: str | None, out: list[StreamToken]) -> None:
        """Append what a delta's `details` say. `text` is what its plain reasoning member says.

        The two repeat each other; should they differ, the plain one is what the reader sees.
        """
        pieces: list[Any] = details if is_array(details) else [details]
        said = [_said(piece) for piece in pieces]
        if text and "".join(said) != text:
            first = next((at for at, piece in enumerate(pieces) if text_member(piece)), None)
            said = [text if at == first else "" for at in range(len(pieces))]
            if first is None:
                out.append(Reasoning(text, None, self._choice))
        for piece, fresh in zip(pieces, said, strict=True):
            member = text_member(piece)
            if member is None:
                self.end(out)
                out.append(Opaque(KIND, dumps(piece), self._choice))
                continue
            self._add(piece, member, out)
            signature = text_of(piece.get("signature"))
            if fresh or signature:
                out.append(Reasoning(fresh, signature, self._choice))

    def end(self, out: list[StreamToken]) -> None:
        """Append the label of the detail under way, if there is one."""
        if self._label is not None:
            out.append(Opaque(KIND, dumps(self._label), self._choice))
            self._label = None

    def _add(self, piece: dict[str, Any], member: str, out: list[StreamToken]) -> None:
        """Take a piece into the label, of which it may be the first. A member that is null undoes nothing."""
        if self._label is not None and _another(self._label, piece):
            self.end(out)
        if self._label is None:
            self._label = {}
        for name, value in piece.items():
            if name in (member, "signature") and isinstance(value, str):
                value = ""
            if value is not None or name not in self._label:
                self._label[name] = value


def _said(detail: Any) -> str:
    member = text_member(detail)
    said = detail.get(member) if member else None
    return said if isinstance(said, str) else ""


def _another(label: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Whether a piece belongs to another detail. Some say their id only in the last piece, some no index at all."""
    if label["type"] != piece["type"]:
        return True
    return any(
        label.get(name) is not None and piece.get(name) is not None and label[name] != piece[name]
        for name in ("index", "id")
    )


def details_of(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The details of a turn, as the stream said them. Raises `cannot` for an opaque part that is none.

    A thought with a signature but without label, as of a turn that was not made from a stream, becomes a detail of type
    `reasoning.text`. A thought with neither needs no detail.
    """
    details: list[dict[str, Any]] = []
    text, signature = "", None

    def unlabelled() -> None:
        nonlocal text, signature
        if signature is not None:
            details.append({"type": "reasoning.text", "text": text, "signature": signature})
        text, signature = "", None

    for part in parts:
        if part.reasoning is not None:
            if signature is not None:
                unlabelled()
            text, signature = text + part.reasoning, part.signature
        elif part.opaque is not None and part.opaque.kind == KIND:
            detail = _detail(part.opaque)
            member = text_member(detail)
            if member is None:
                unlabelled()
            else:
                if text:
                    detail[member] = text
                if signature is not None:
                    detail["signature"] = signature
                text, signature = "", None
            details.append(detail)
    unlabelled()
    return details


def _detail(part: OpaquePart) -> dict[str, Any]:
    value = loads(part.raw)
    if not is_object(value):
        raise cannot(f"an opaque part of kind {KIND} must be the JSON object that the stream said: leave it out")
    return value
