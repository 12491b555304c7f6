"""How every dialect says the usage that it has gathered."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from rxlapce.dialects.json_values import dumps
from rxlapce.tokens import Opaque, StreamToken, Usage, UsageReport, UsageSource

#: A number of tokens. A usage with one that cannot be true is refused as a whole; the bound keeps sums exact in any
#: reader's numbers.
Count = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
#: US dollars, or small parts of them; "inf" and "nan" are refused too.
Cost = Annotated[float, msgspec.Meta(ge=0, le=1e18)]


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
