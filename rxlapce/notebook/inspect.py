"""`inspect`: a pipeline, one lane a stage."""

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

from reactivex import Observable

from rxlapce.notebook.probes import Observed
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.show import run
from rxlapce.notebook.trace import MAX_MARKS, Trace
from rxlapce.notebook.view import View

Operator = Callable[[Observable[Any]], Observable[Any]]
Stage = Operator | tuple[str, Operator]


def inspect(
    source: Observable[Any] | Observed,
    *operators: Stage,
    title: str = "",
    max_marks: int = MAX_MARKS,
) -> View:
    """Subscribe now to `source` through `operators`, and draw one lane for each of them, on one clock.

        source     --a-b---c-|
        map        --A-B---C-|
        buffer     -------AB-C|

    A source that can be looked into (`Observed`: an answer, a pipeline, a recording) shows its own stages in place of
    the first lane. A lane has the name of its operator, or the one before it in a pair: `("words", ops.map(split))`.
    See `show`.
    """
    trace = Trace(title, max_marks=max_marks)
    probes = TraceProbes(trace)
    stream: Observable[Any]  # of whatever passes
    stream = source.observed(probes) if isinstance(source, Observed) else probes.lane("source")(source)
    for stage in operators:
        name, operator = (name_of(stage), stage) if callable(stage) else stage
        stream = probes.lane(name)(operator(stream))
    return run(stream, trace, probes)


def name_of(operator: Operator) -> str:
    """What an operator is called: by the function that made it, as far as that can be told."""
    if isinstance(operator, partial):
        return name_of(operator.func)
    if not isinstance(operator, FunctionType):
        return getattr(operator, "__name__", type(operator).__name__)
    made_by = operator.__qualname__.partition(".<locals>")[0]
    if made_by == "curry_flip":  # RxPY's own operators: the function is what the wrapper has closed over
        wrapped = dict(zip(operator.__code__.co_freevars, operator.__closure__ or (), strict=True)).get("fun")
        made_by = getattr(wrapped.cell_contents, "__name__", made_by) if wrapped is not None else made_by
    name = made_by.rpartition(".")[2].strip("_")
    return operator.__name__ if name == "<lambda>" else name
