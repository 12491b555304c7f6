"""The lines of the panel's two lists: models, and kept conversations."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rxlapce.chat.chooser import Row
from rxlapce.chat.figures import short
from rxlapce.chat.history import Chat
from rxlapce.messages import ModelEntry, Unlisted


def model_rows(models: Iterable[ModelEntry], last: str | None) -> list[Row]:
    """The model that was asked last, then aliases, then each provider's."""
    known = list(models)
    rows = [Row(value=last, text=last, group="asked last")] if last else []
    aliases = [entry for entry in known if entry.provider is None]
    rows += [Row(value=one.name, text=one.name, group="aliases", note=", ".join(one.asks)) for one in aliases]
    for entry in sorted((entry for entry in known if entry.provider), key=lambda entry: entry.provider or ""):
        group = "simulator: plays a model, without key or network" if entry.provider == "simulator" else entry.provider
        rows.append(Row(value=entry.name, text=entry.name, group=group or ""))
    return rows


def unlisted_notes(unlisted: Sequence[Unlisted]) -> list[str]:
    """Why a provider's models are not there."""
    return [f"{one.provider} tells no models: {one.message}" for one in unlisted]


def chat_rows(chats: Iterable[Chat], now: datetime) -> list[Row]:
    """Kept conversations under their days."""
    return [
        Row(
            value=chat.name,
            text=chat.title,
            group=_day(chat.when, now),
            note=f"{chat.when.astimezone():%H:%M} {short(chat.model)}",
        )
        for chat in chats
    ]


def _day(when: datetime, now: datetime) -> str:
    days = (now.astimezone().date() - when.astimezone().date()).days
    return {0: "today", 1: "yesterday"}.get(days, f"{when.astimezone():%A, %-d %B %Y}")
