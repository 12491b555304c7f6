"""What a path answers: read a request, choose its wire; or answer in plain JSON at once."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rxlapce.simulator.asked import Asked, Where
from rxlapce.simulator.vendor import Vendor
from rxlapce.simulator.wire import Wire


@dataclass(frozen=True, slots=True)
class Route:
    """A POST that is answered by a model, at once or as a stream.

    `path` may hold `{model}`, which stands for anything but a bare `/`, as long as it can be: in
    `/v1beta/models/{model}:generateContent` the verb is after the last colon. `read` raises `BadBody` for what the
    vendor refuses; it decides from the body or from the path whether a stream is wanted.
    """

    path: str
    vendor: Vendor
    read: Callable[[bytes, Where], Asked]
    wire: Callable[[Asked, random.Random], Wire]


@dataclass(frozen=True, slots=True)
class PlainRoute:
    """A request that costs nothing: a list of models, a count of tokens. `answer` makes the JSON, or raises `BadBody`.

    Only the HTTP errors of the header `X-Simulate` apply to it, and it is not among the simulator's `requests`.
    `headers` are the response's, with lower-case names.
    """

    method: str
    path: str
    vendor: Vendor
    answer: Callable[[bytes, Where], bytes]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
