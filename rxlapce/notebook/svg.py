"""The static form."""

from rxlapce.notebook.trace import Trace


def svg_of(trace: Trace, now: float) -> str:
    """The diagram as SVG."""
    return f"<svg xmlns='http://www.w3.org/2000/svg'><title>{len(trace.kept)} {now}</title></svg>"


def words_of(trace: Trace) -> str:
    """The diagram in words."""
    return f"{trace.title or 'stream'}: {trace.state}, {trace.next_seq} marks"
