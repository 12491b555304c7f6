"""An answer's figures in words: how long, how fast, how many tokens, what it costs."""

from typing import Final

from rxlapce.chat.turns import Shown, Standing
from rxlapce.tokens import FinishKind, UsageSource

#: What a reader should know of an end that is no plain stop.
ENDS: Final = {
    FinishKind.LENGTH: "cut at the limit of its length",
    FinishKind.TOOL_CALLS: "asks for a tool, which this panel does not run",
    FinishKind.CONTENT_FILTER: "stopped by the provider's filter",
    FinishKind.REFUSAL: "refused",
    FinishKind.PAUSE: "paused by the provider",
    FinishKind.CANCELLED: "cancelled by the provider",
}
#: The provider that is none; what follows a colon in its models' names tells it how to behave.
SIMULATOR: Final = "simulator/"


def short(model: str) -> str:
    """A model's name as it is read."""
    return model.partition(":")[0] if model.startswith(SIMULATOR) else model


def figures(shown: Shown) -> str:
    """The line under an answer, also while it streams."""
    parts = [*_standing(shown), *_speed(shown), *_counts(shown)]
    return " · ".join(parts)


def thought(shown: Shown) -> str:
    """The title of the folded thoughts."""
    if shown.standing is Standing.THINKING:
        return f"Thinking… {seconds(shown.thought_s or 0)}"
    return f"Thought for {seconds(shown.thought_s)}" if shown.thought_s is not None else "Thoughts"


def seconds(value: float) -> str:
    """A duration that one can read while it runs."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{int(value // 60)} min {int(value % 60)} s"


def _standing(shown: Shown) -> list[str]:
    match shown.standing:
        case Standing.WAITING:
            return [f"waiting for the first token, {seconds(shown.took_s)}"]
        case Standing.THINKING | Standing.ANSWERING:
            return [seconds(shown.took_s)]
        case Standing.CANCELLED:
            return ["cancelled"]
        case Standing.FAILED:
            return ["not whole"] if shown.text else []
        case Standing.DONE:
            end = ENDS.get(FinishKind(shown.finish)) if shown.finish in list(FinishKind) else shown.finish
            return [end] if end else []


def _speed(shown: Shown) -> list[str]:
    parts: list[str] = []
    if shown.first_s is not None:
        first = f"{shown.first_s * 1000:,.0f} ms" if shown.first_s < 10 else seconds(shown.first_s)
        parts.append(f"first token {first}")
    if shown.per_s is not None:
        parts.append(f"{shown.per_s:,.0f} tokens/s")
    return parts


def _counts(shown: Shown) -> list[str]:
    usage = shown.usage
    if usage is None or usage.output is None:
        return [f"{shown.counted:,} token{'' if shown.counted == 1 else 's'}"] if shown.counted else []
    about = "about " if usage.source is UsageSource.ESTIMATED else ""
    parts = [] if usage.input is None else [f"{about}{usage.input:,} in"]
    if usage.cached_input:
        parts[-1:] = [f"{parts[-1]} ({usage.cached_input:,} cached)"] if parts else []
    parts.append(f"{about}{usage.output:,} out")
    if usage.reasoning:
        parts[-1] += f" ({usage.reasoning:,} thinking)"
    if usage.cost_usd is not None:
        parts.append(f"${usage.cost_usd:,.4f}")
    return parts
