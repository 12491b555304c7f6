"""A list over the panel, filtered by what one types: models, and kept conversations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from rxlapce.chat.matching import fitting
from rxlapce.chat.safe import harmless, one_line

#: More lines than this nobody reads; who types finds the others.
MAX_LINES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line to choose: `value` is the choice, `group` the heading it stands under, `note` is told dimmed behind it."""

    value: str
    text: str
    group: str = ""
    note: str = ""


class Chooser(ModalScreen[str | None]):
    """Gives the value of the line that was chosen, or None. With `free` also what was typed, where nothing fits."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", priority=True),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("ctrl+d", "delete", "Delete", priority=True),
    ]

    def __init__(
        self,
        title: str,
        rows: Sequence[Row],
        *,
        placeholder: str,
        notes: Sequence[str] = (),
        free: bool = False,
        delete: Callable[[str], None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._heading = title
        self._rows = list(rows)
        self._notes = list(notes)
        self._free = free
        self._delete = delete
        self._doomed: str | None = None
        self._input = Input(placeholder=placeholder, compact=True)
        self._list = OptionList(compact=True)
        self._values: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """What one types, above what fits it."""
        with Vertical(id="chooser") as box:
            box.border_title = self._heading
            box.border_subtitle = "Enter chooses · Esc goes back" + (" · Ctrl-D deletes" if self._delete else "")
            yield self._input
            yield self._list

    def on_mount(self) -> None:
        """Show all lines."""
        self._list.can_focus = False
        self._fill()
        self._input.focus()

    def refill(self, rows: Sequence[Row], notes: Sequence[str]) -> None:
        """Take other lines in place of those there are; the choice that is marked stays marked."""
        self._rows, self._notes = list(rows), list(notes)
        if self.is_mounted:
            self._fill(self._marked())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Deleting is offered where it can be done."""
        return action != "delete" or self._delete is not None

    def on_input_changed(self) -> None:
        """Show what fits."""
        self._fill()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on a line chooses it."""
        if event.option_id in self._values:
            self.dismiss(self._values[event.option_id])

    def action_leave(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def on_input_submitted(self) -> None:
        """Enter chooses the line that is marked."""
        value = self._marked()
        if value is not None:
            self.dismiss(value)

    def action_move(self, by: int) -> None:
        """Mark another line."""
        step = self._list.action_cursor_up if by < 0 else self._list.action_cursor_down
        for _ in range(abs(by)):
            step()

    def action_delete(self) -> None:
        """Delete the line that is marked, when asked twice."""
        value = self._marked()
        if value is None or self._delete is None:
            return
        if self._doomed != value:
            self._doomed = value
            self.notify("Press again to delete it for good.", severity="warning")
            return
        self._delete(value)
        self._rows = [row for row in self._rows if row.value != value]
        self._fill()

    def _marked(self) -> str | None:
        at = self._list.highlighted
        option = None if at is None else self._list.get_option_at_index(at)
        return None if option is None or option.id is None else self._values.get(option.id)

    def _fill(self, marked: str | None = None) -> None:
        """Show the lines that fit what is typed, and mark the one of that value, else the first."""
        typed = self._input.value.strip()
        rows = fitting(typed, ((f"{row.text} {row.group}", row) for row in self._rows)) if typed else self._rows
        if self._free and typed and not any(row.value == typed for row in rows):
            rows = [*rows, Row(value=typed, text=typed, note="as it stands here")]
        options: list[Option] = []
        self._values = {}
        group = ""
        for number, row in enumerate(rows[:MAX_LINES]):
            if row.group and row.group != group and not typed:
                options.append(Option(Content.styled(harmless(row.group), "$text-accent bold"), disabled=True))
            group = row.group
            self._values[str(number)] = row.value
            options.append(Option(_line(row), id=str(number)))
        notes = [*self._notes, *([f"and {len(rows) - MAX_LINES} more"] if len(rows) > MAX_LINES else [])]
        options += [Option(Content.styled(one_line(note, 300), "$text-warning"), disabled=True) for note in notes]
        self._list.set_options(options)
        choices = [(at, self._values[option.id]) for at, option in enumerate(options) if option.id in self._values]
        first = choices[0][0] if choices else None
        self._list.highlighted = next((at for at, value in choices if value == marked), first)


def _line(row: Row) -> Content:
    text = Content(f"  {harmless(row.text)}")
    return text + Content.styled(f"  {harmless(row.note)}", "$text-muted") if row.note else text
