"""The line at the top: who answers, and how the panel stands to its daemon; and what to do while there is none."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from rxlapce.bridge.messages import ConnectionState, ConnectionStatus
from rxlapce.chat.figures import SIMULATOR, seconds, short
from rxlapce.chat.safe import harmless, one_line

#: Seconds between the bridge's own attempts while the state is `error`.
TRIES_AGAIN_S = 30.0

_MARKS = {
    ConnectionState.CONNECTING: "◌",
    ConnectionState.CONNECTED: "●",
    ConnectionState.DISCONNECTED: "○",
    ConnectionState.ERROR: "✗",
}


class Header(Horizontal):
    """One line; `show` is called at each change, and each second while there is no connection."""

    def __init__(self) -> None:
        super().__init__(id="bar")
        self._who = Static(id="who")
        self._link = Static(id="link")
        self._said: tuple[Content, Content] | None = None

    def compose(self) -> ComposeResult:
        """The model on the left, the connection on the right."""
        yield self._who
        yield self._link

    def show(self, model: str | None, status: ConnectionStatus | None, since_s: float, *, simulated: bool) -> None:
        """`since_s`: how long the connection has been as `status` tells, in seconds."""
        who = Content.styled("rxlapce chat", "bold")
        if model:
            who += Content.styled(" with ", "$text-muted") + Content(one_line(short(model), 60))
        if simulated or (model or "").startswith(SIMULATOR):
            who += Content.styled("  no real model", "$text-warning bold")
        state = ConnectionState.CONNECTING if status is None else status.state
        link = Content(f"{_MARKS[state]} {described(status, since_s)}")
        if (who, link) != self._said:  # an update lays the screen out again
            self._said = who, link
            self._link.set_classes(state.value)
            self._who.update(who)
            self._link.update(link)


class Notice(Static):
    """What is wrong with the connection and what to do; takes no room while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(id="notice")
        self._lines: tuple[str, ...] = ()

    def show(self, lines: tuple[str, ...]) -> None:
        """Show the lines, the first two in bold. The same again costs nothing."""
        if lines != self._lines:
            self._lines = lines
            self.set_class(bool(lines), "shown")
            bold = (Content.styled(harmless(line), "bold") for line in lines[:2])
            self.update(Content("\n").join([*bold, *(Content(harmless(line)) for line in lines[2:])]))


def described(status: ConnectionStatus | None, since_s: float) -> str:
    """The connection in a few words."""
    if status is None or status.state is ConnectionState.CONNECTING:
        return "connecting" if since_s < 1 else f"connecting, {seconds(since_s)}"
    if status.state is ConnectionState.CONNECTED:
        return "connected" if status.transport != "socket" else "connected (socket)"
    if status.state is ConnectionState.DISCONNECTED:
        return f"disconnected for {seconds(since_s)}, looking for a daemon"
    left = TRIES_AGAIN_S - since_s % TRIES_AGAIN_S
    return f"no connection, tries again in {left:.0f} s (Ctrl-R: now)"
