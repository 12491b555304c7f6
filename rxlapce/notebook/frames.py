"""A run as a pandas DataFrame, for one's own questions."""

from typing import TYPE_CHECKING, Any

from rxlapce.notebook.marks import Mark, MarkKind
from rxlapce.notebook.trace import Trace

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(*traces: Trace, labels: tuple[str, ...] = ()) -> "DataFrame":
    """The kept marks, a row each, in the order in which they passed; of several runs, one below the other.

    | column | dtype | meaning |
    |---|---|---|
    | `run` | category | its label; only with several runs |
    | `seq` | int64 | the mark's number |
    | `t`, `gap_s` | float64 | seconds since the subscription, and since the mark before it in its lane |
    | `lane`, `kind` | category | where it passed, and what it is |
    | `label` | object | what is written beside it: printable, and short |
    | `text` | object | what it says: text as it is, anything else as its label |
    | `size` | int64 | bytes, or characters |
    | `cause` | Int64 | the `seq` of the mark that it came of |

    Raises ImportError, which says what to install, where pandas is not.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("a DataFrame needs pandas: pip install pandas") from error
    rows: dict[str, list[Any]] = {name: [] for name in ("run", *_COLUMNS)}
    for trace, label in zip(traces, labels or ("",) * len(traces), strict=True):
        last: dict[int, float] = {}
        for mark in trace.kept:
            before = last.get(mark.lane)
            last[mark.lane] = mark.t
            values = (
                mark.seq, mark.t, None if before is None else mark.t - before, trace.lanes[mark.lane].name,
                mark.kind.value, mark.label, _text(mark), mark.size, mark.cause,
            )  # fmt: skip
            rows["run"].append(label)
            for name, value in zip(_COLUMNS, values, strict=True):
                rows[name].append(value)
    columns: dict[str, Any] = {
        name: pd.Series(rows[name], dtype=dtype) for name, dtype in (("run", "category"), *_COLUMNS.items())
    }
    if not labels:
        del columns["run"]
    return pd.DataFrame(columns)


_COLUMNS = {
    "seq": "int64",
    "t": "float64",
    "gap_s": "float64",
    "lane": "category",
    "kind": "category",
    "label": "object",
    "text": "object",
    "size": "int64",
    "cause": "Int64",
}


def _text(mark: Mark) -> str:
    if mark.kind in (MarkKind.TEXT, MarkKind.REASONING, MarkKind.REFUSAL):
        text = getattr(mark.item, "text", None)
        return text if isinstance(text, str) else mark.label
    return mark.label
