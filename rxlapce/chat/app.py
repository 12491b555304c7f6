"""The panel: a Textual app on a `Link`, a `Conversation` and a `History`."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer

from rxlapce.bridge.messages import ConnectionState, ConnectionStatus
from rxlapce.chat.answer_view import AnswerView, Copied
from rxlapce.chat.choices import chat_rows, model_rows, unlisted_notes
from rxlapce.chat.chooser import Chooser
from rxlapce.chat.conversation import Conversation
from rxlapce.chat.early import EarlyKeys
from rxlapce.chat.header import Header, Notice
from rxlapce.chat.help import Help
from rxlapce.chat.keeper import Keeper
from rxlapce.chat.link import WINDOW, Link, StartSimulator, closed
from rxlapce.chat.look import LIGHT, STYLES
from rxlapce.chat.notices import notice, welcome
from rxlapce.chat.prompt import Prompt
from rxlapce.chat.safe import harmless
from rxlapce.chat.session import Session
from rxlapce.chat.transcript import Transcript
from rxlapce.errors import ConfigError
from rxlapce.messages import ErrorBody, ModelEntry, Unlisted
from rxlapce.tokens import StreamToken

#: Seconds between two drawings of an answer, at least; a screen that takes longer gets as long again for its keys.
DRAW_S: Final = 0.05
#: The figures run while nothing comes.
TICK_S: Final = 0.25


class ChatApp(EarlyKeys, inherit_bindings=False):
    """Ask, read, choose, copy. Everything that comes is state first (`Conversation`), and drawn by one task."""

    CSS = STYLES
    TITLE = "rxlapce chat"
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", priority=True, key_display="Esc"),
        Binding("escape", "swap", "Read/write", show=False, priority=True),
        Binding("ctrl+o", "model", "Model", priority=True),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+l", "chats", "Chats", priority=True),
        Binding("ctrl+r", "again", "Ask again", priority=True),
        Binding("ctrl+r", "connect", "Connect", priority=True),
        Binding("f1", "help", "Help", priority=True, key_display="F1"),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("tab", "swap", "Read/write", priority=True, show=False),
        Binding("ctrl+c", "copy_or_quit", "Quit", show=False, priority=True),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
    ]

    def __init__(self, session: Session, *, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(session.typed)
        self.session = session
        self.model = session.model
        self.conversation = Conversation()
        self.link = Link(self, session.where)
        self._clock = clock
        self._status: ConnectionStatus | None = None
        self._status_at_s = clock()
        self._models: tuple[ModelEntry, ...] = ()
        self._unlisted: tuple[Unlisted, ...] = ()
        self._keeper = Keeper(session.history, self._warn)
        self._view: AnswerView | None = None
        self._new = asyncio.Event()
        self._undrawn = 0
        self._head = Header()
        self._transcript = Transcript()
        self._notice = Notice()
        self._prompt = Prompt()
        self._was_offered = False
        self._wanted = ""
        """What is to be asked when there is a model, and somebody to ask."""
        self._starting = False

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._head
        yield self._transcript
        yield self._notice
        yield self._prompt
        yield Footer(compact=True, show_command_palette=False)

    async def on_mount(self) -> None:
        """Connect, and begin to draw."""
        self.register_theme(LIGHT)
        self.theme = self.session.theme
        await self._show_conversation()
        self._prompt.focus()
        self.call_later(self.take_early)
        self.set_interval(TICK_S, self._tick)
        self.run_worker(self._draw(), name="draw", exit_on_error=True)
        if self.session.simulator:
            self._begin_to_simulate()
        else:
            self.link.start()

    async def on_unmount(self) -> None:
        """Cancel what is under way, and leave the daemon."""
        self._keep_the_end()
        await closed(self.link)

    # -- what comes from the bridge: state, and a word to who draws --------------------------------------------------

    def on_status(self, status: ConnectionStatus) -> None:
        """The connection has changed."""
        self._status, self._status_at_s = status, self._clock()
        if status.state is ConnectionState.CONNECTED:
            self.link.ask_models()
        self.call_later(self._show_keys)
        self._new.set()

    def on_models(self, models: tuple[ModelEntry, ...], unlisted: tuple[Unlisted, ...]) -> None:
        """The models there are."""
        self._models, self._unlisted = models, unlisted
        self.call_later(self._offer_models)

    def on_no_models(self, error: ErrorBody) -> None:
        """The list of models has not come; one can still be typed."""
        self._unlisted = (Unlisted(provider="the daemon", message=error.message),)
        self.call_later(self._offer_models)

    def on_token(self, token: StreamToken) -> None:
        """A token of the answer under way; while too many are not drawn, no more are asked for."""
        turn = self.conversation.turn
        if turn is not None:
            turn.add(token, self._clock())
            self._undrawn += 1
            if self._undrawn >= WINDOW // 2:
                self.link.flow.close(self)
            self._new.set()

    def on_failure(self, error: ErrorBody) -> None:
        """The answer under way has ended in an error."""
        turn = self.conversation.turn
        if turn is not None:
            turn.fail(error, self._clock())
            self._new.set()

    # -- drawing ----------------------------------------------------------------------------------------------------

    async def _draw(self) -> None:
        """Draw what is new, at most 20 times a second, and leave the loop as long to its keys as drawing takes it.

        Textual lays out and paints after `sync`, on the loop: that is seen by how late the loop wakes this up.
        """
        busy_s = 0.0
        while True:
            await self._new.wait()
            self._new.clear()
            began = self._clock()
            await self._draw_once()
            drawn = self._clock()
            pause_s = max(DRAW_S, drawn - began + busy_s)
            await asyncio.sleep(pause_s)
            busy_s = max(0.0, self._clock() - drawn - pause_s)

    async def _draw_once(self) -> None:
        self._undrawn = 0
        self._show_head()
        turn, view = self.conversation.turn, self._view
        if turn is not None and view is not None and view.is_mounted:
            shown = turn.shown(self._clock())
            await view.sync(shown)
            if shown.ended and turn is self.conversation.turn:  # what ends while it is drawn is drawn once more
                self._keep_the_end()
        elif turn is not None:
            self._new.set()  # its view is on the way
        self.link.flow.open(self)

    def _tick(self) -> None:
        """The times on the screen run on."""
        connected = self._status is not None and self._status.state is ConnectionState.CONNECTED
        if self.conversation.turn is not None or not connected:
            self._new.set()

    def _show_head(self) -> None:
        since = self._clock() - self._status_at_s
        self._head.show(self.model, self._status, since, simulated=self.link.simulated)
        offers = self.session.start_simulator is not None and not self.link.simulated
        lines = () if self._starting else notice(self._status, since, self.session.no_key, offers=offers)
        self._was_offered = bool(lines) and offers
        self._notice.show(lines)

    async def _show_conversation(self) -> None:
        self._prompt.remember(self.conversation.questions)
        self._show_head()
        await self._transcript.show(self.conversation.earlier, welcome(kept=self._keeper.keeps))

    # -- asking -----------------------------------------------------------------------------------------------------

    def on_prompt_sent(self, event: Prompt.Sent) -> None:
        """Ask what was written; Enter on nothing takes what is offered."""
        if not event.text:
            if self._was_offered and not self._starting:
                self._begin_to_simulate()
        elif self.conversation.turn is not None:
            self.notify("An answer is under way: Esc cancels it.", severity="warning")
        else:
            self._wanted = event.text
            self._ask_if_possible()

    def _ask_if_possible(self) -> None:
        """Ask what was sent, when a model is chosen and there is somebody to ask; until then it stays where it is."""
        if not self._wanted or self._starting or self.conversation.turn is not None:
            return
        if self.model is None:
            self.action_model()
            return
        question, self._wanted = self._wanted, ""
        self._prompt.take_out(question)
        self._ask(question, self.model)

    def _ask(self, question: str, model: str) -> None:
        """Begin a turn: kept, on the screen, and sent, in one go, so that nobody finds the half of it."""
        request = self.conversation.ask(question, model, self.session.wishes, self._clock())
        self._prompt.remember(self.conversation.questions)
        self._keeper.asked(question, model)
        self._view = self._transcript.begin(question, model)
        self.link.ask(request)
        self._show_keys()
        self._new.set()

    def _keep_the_end(self) -> None:
        """Put the turn to the earlier ones, cancelled if it has not ended."""
        turn = self.conversation.turn
        if turn is None:
            return
        if not turn.ended:
            turn.fail(CANCELLED, self._clock())
        self._view = None
        self._keeper.ended(self.conversation.settle())
        self._show_keys()

    def _show_keys(self) -> None:
        if self.screen_stack:  # there is none any more while the app ends
            self.refresh_bindings()

    def _begin_to_simulate(self) -> None:
        if self.session.start_simulator is not None:
            self._starting, self._was_offered = True, False  # at once: Enter may come again before the worker runs
            self.run_worker(self._simulate(self.session.start_simulator), name="simulator")

    async def _simulate(self, start: StartSimulator) -> None:
        """Start a simulator, and talk to it."""
        before, self.model = self.model, self.model or self.session.simulated_model
        try:
            await self.link.simulate(start)
        except ConfigError as error:
            self.model = before
            self.notify(
                f"The simulator does not start: {harmless(str(error))}", severity="error", timeout=15, markup=False
            )
        finally:
            self._starting = False
            self._new.set()
        self.call_later(self._ask_if_possible)

    # -- keys -------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the panel do nothing under a list or the help, but those that end it."""
        if len(self.screen_stack) > 1:
            return action not in _UNDER
        match action:
            case "cancel":
                return self.conversation.turn is not None
            case "again":
                return self.conversation.can_ask_again and self.link.state is ConnectionState.CONNECTED
            case "connect":
                return self.link.state in (ConnectionState.DISCONNECTED, ConnectionState.ERROR)
            case _:
                return True

    def action_cancel(self) -> None:
        """Cancel the answer under way."""
        self.link.cancel()

    def action_swap(self) -> None:
        """Change between writing and reading."""
        (self._transcript if self._prompt.has_focus else self._prompt).focus()

    def action_write(self) -> None:
        """Go back to writing."""
        self._prompt.focus()

    def action_scroll(self, pages: int) -> None:
        """Scroll the conversation, wherever one writes."""
        scroll = self._transcript.scroll_page_down if pages > 0 else self._transcript.scroll_page_up
        scroll(animate=False)

    def action_help(self) -> None:
        """All keys."""
        self.push_screen(Help())

    async def action_again(self) -> None:
        """Ask the last question again, if it was not answered whole."""
        if self.model is None:
            self.action_model()
            return
        question = self.conversation.again()
        last = self._transcript.last
        if last is not None:
            await last.remove()
        self._ask(question, self.model)

    def action_connect(self) -> None:
        """Try now to connect."""
        self.link.reconnect()

    def action_model(self) -> None:
        """Choose the model."""
        self.link.ask_models()
        rows = model_rows(self._models, self._last_model())
        notes = unlisted_notes(self._unlisted) or ([] if self._models else ["asking which models there are…"])
        placeholder = "type to find, or PROVIDER/MODEL"
        chooser = Chooser("Which model?", rows, placeholder=placeholder, notes=notes, free=True, name="models")
        self.push_screen(chooser, self._take_model)

    def _take_model(self, model: str | None) -> None:
        self.model = model or self.model
        self._wanted = self._wanted if model else ""
        self._show_head()
        self._ask_if_possible()

    def _last_model(self) -> str | None:
        return self.model or self._keeper.last_model()

    def _offer_models(self) -> None:
        """The models have come: into the list that is open, or one is opened where none is chosen."""
        if isinstance(self.screen, Chooser) and self.screen.name == "models":
            self.screen.refill(model_rows(self._models, self._last_model()), unlisted_notes(self._unlisted))
        elif self.model is None and len(self.screen_stack) == 1:
            self.action_model()

    def action_chats(self) -> None:
        """Open an earlier conversation, or delete it."""
        rows = chat_rows(self._keeper.chats(), datetime.now(UTC))
        notes = [] if rows else ["none is kept yet" if self._keeper.keeps else "none is kept: --no-history"]
        chooser = Chooser(
            "Which conversation?", rows, placeholder="type to find", notes=notes, delete=self._keeper.delete
        )
        self.push_screen(chooser, self._open_chat)

    async def _open_chat(self, name: str | None) -> None:
        if name is None or name == self._keeper.name:
            return
        turns = self._keeper.open(name)
        if turns is None:
            return
        self._leave_conversation()
        self.conversation = Conversation(turns)
        if turns:
            self.model = turns[-1].model
        await self._show_conversation()

    async def action_new(self) -> None:
        """Begin a new conversation; an answer under way is cancelled, and kept so."""
        self._leave_conversation()
        self._keeper.new()
        self.conversation = Conversation()
        await self._show_conversation()
        self._prompt.focus()

    def _leave_conversation(self) -> None:
        if self.conversation.turn is not None:
            self.link.cancel()
        self._keep_the_end()

    def on_copied(self, event: Copied) -> None:
        """Copy by the terminal (OSC 52), and say so: the terminal itself says nothing."""
        self.copy_to_clipboard(event.text)
        self.notify(f"Copied {event.what}.", markup=False)

    def action_copy_or_quit(self) -> None:
        """Ctrl-C: copy what is marked; quit if nothing is."""
        marked = self.screen.get_selected_text() or self._prompt.selected_text
        if marked:
            self.on_copied(Copied(marked, f"what is marked ({len(marked):,} characters)"))
        else:
            self.exit()

    def _warn(self, text: str) -> None:
        self.notify(harmless(text), severity="warning", markup=False)


#: What is not done while something lies over the panel.
_UNDER: Final = frozenset({"cancel", "swap", "model", "new", "chats", "connect", "again", "help", "scroll"})
CANCELLED: Final = ErrorBody(kind="cancelled", retry="never", phase="flow", message="cancelled by the panel")
