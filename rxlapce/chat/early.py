"""Keys that come before there is anywhere to write."""

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.events import Event, Key, Paste
from textual.message import Message

from rxlapce.chat.driver import PanelDriver


class EarlyKeys(App[None], inherit_bindings=False):
    """An app that loses none: Textual reads keys from the first moment on, and drops those that nothing has focus for.

    `typed` is what was read before. All of it waits for `take_early`, in its order, and goes the way of any key.
    """

    def __init__(self, typed: str) -> None:
        super().__init__(driver_class=PanelDriver)
        self._early: list[Message] | None = list(XTermParser().feed(typed)) if typed else []

    async def on_event(self, event: Event) -> None:
        """See `App.on_event`."""
        if self._early is not None and isinstance(event, Key | Paste) and not event.is_forwarded:
            self._early.append(event)
        else:
            await super().on_event(event)

    async def take_early(self) -> None:
        """Hand on what waits, and from now on what comes."""
        early, self._early = self._early or [], None
        for event in early:
            if isinstance(event, Event):
                await super().on_event(event)
