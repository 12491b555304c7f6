"""How every dialect says the usage that it has gathered."""

from collections.abc import Callable
from typing import Any

import msgspec

from rxlapce.dialects.json_values import dumps
from rxlapce.tokens import Opaque, StreamToken, Usage, UsageReport, UsageSource


def report_usage(
    usage: Any,
    source: UsageSource,
    read: Callable[[Any, UsageSource], Usage],
    out: list[StreamToken],
    *,
    name: str = "usage",
) -> None:
    """Append the usage, if the provider told any; one that `read` refuses is passed through under its own `name`.

    `read(usage, source)` gives the normal form, or raises `msgspec.ValidationError`.
    """
    if not usage:
        return
    try:
        out.append(UsageReport(read(usage, source)))
    except msgspec.ValidationError:
        out.append(Opaque(name, dumps(usage)))
