"""The notebook around a view: which cell runs, what it shows, and what ends when it runs again.

IPython is not typed, and is imported when it runs already, never by us: its shell is `Any` here.
"""

import sys
from contextvars import Context
from typing import Any, Final, Protocol
from uuid import uuid4

#: A MIME type -> how the output looks in it.
Bundle = dict[str, Any]


class Closable(Protocol):
    """What a cell starts."""

    def close(self) -> None:
        """End it, and all that it holds; a second call does nothing."""
        ...


def shell() -> Any | None:
    """IPython's shell inside a Jupyter kernel; None anywhere else."""
    ipython = sys.modules.get("IPython")
    found = None if ipython is None else ipython.get_ipython()
    return found if hasattr(found, "kernel") else None


def close_when_run_again(started: Closable) -> None:
    """Close `started` when the cell that runs now is run again.

    A cell is known by its id, or by its source where the front end tells none. Outside a kernel nothing happens.
    """
    found = shell()
    if found is None:
        return
    key = _running(found)
    if key is not None:
        _CELLS.watch(found)
        _CELLS.started.setdefault(key, []).append(started)


def run_number() -> int | None:
    """Counts the runs of cells; None outside a kernel."""
    found = shell()
    return None if found is None else int(found.execution_count)


class Output:
    """One output of the cell that runs now, which can be changed as long as the notebook is open."""

    def __init__(self, bundle: Bundle) -> None:
        self._id = uuid4().hex
        self._publish(bundle, update=False)

    def update(self, bundle: Bundle) -> None:
        """Show `bundle` in its place, also after the cell has ended."""
        # An empty context makes it a message of the cell that runs now, as IPython takes that where none is told. By
        # its own context it would be one of the cell that made it, and what executes notebooks ignores late messages.
        Context().run(self._publish, bundle, update=True)

    def _publish(self, bundle: Bundle, *, update: bool) -> None:
        found = shell()
        if found is not None:
            found.display_pub.publish(data=bundle, metadata={}, transient={"display_id": self._id}, update=update)


class _Cells:
    """What each cell has started, until it runs again."""

    def __init__(self) -> None:
        self.started: dict[str, list[Closable]] = {}
        self._watched: Any = None

    def watch(self, found: Any) -> None:
        if self._watched is not found:
            self._watched = found
            found.events.register("pre_run_cell", self._before_run)

    def _before_run(self, info: Any) -> None:
        for started in self.started.pop(_key(info.cell_id, info.raw_cell), []):
            started.close()


def _running(found: Any) -> str | None:
    request = found.kernel.get_parent()
    content = request.get("content", {})
    if "code" not in content:
        return None
    return _key(request.get("metadata", {}).get("cellId"), content["code"])


def _key(cell_id: str | None, source: str) -> str:
    return f"source {source}" if cell_id is None else f"id {cell_id}"


_CELLS: Final = _Cells()
