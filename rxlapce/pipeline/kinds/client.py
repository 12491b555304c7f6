"""What stands last: the buffer before the client, and the client itself, which is the sink `editor`."""

from dataclasses import dataclass
from typing import Any, Final

from rxlapce.operators.backpressure import MAX_MERGED_CHARS, Policy
from rxlapce.registry import Kind, Shape, check_ranges, option
from rxlapce.routing.way import Outlet, Setup, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferOptions:
    """What may wait for the client, and what happens when it is too much."""

    high_water: int = option(
        256, help="pause: so many waiting tokens stop the reading; coalesce: they merge from here on", unit="tokens",
        at_least=1,
    )  # fmt: skip
    low_water: int = option(64, help="pause: with so few left it goes on", unit="tokens", at_least=0)
    capacity: int = option(4096, help="never more than so many wait", unit="tokens", at_least=2)
    policy: Policy = option(Policy.PAUSE, help="what a full buffer does")
    merge_chars: int = option(
        4096,
        help="pieces of text that had to wait go on together, up to so many; 0: each by itself",
        unit="characters",
        at_least=0,
        at_most=MAX_MERGED_CHARS,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.low_water < self.high_water <= self.capacity:
            raise ValueError(
                f"high_water must be above low_water ({self.low_water}) and at most capacity ({self.capacity}), "
                f"not {self.high_water}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorOptions:
    """Which clients a pipeline serves, and how their buffer is, where `buffer_with_backpressure` does not say so."""

    transport: Transport = option(
        Transport.ANY, help="a client that takes its frames by another way is refused: shm, socket or any"
    )
    high_water: int | None = option(None, help="as of `buffer_with_backpressure`", unit="tokens", at_least=1)
    low_water: int | None = option(None, help="as of `buffer_with_backpressure`", unit="tokens", at_least=0)
    capacity: int | None = option(None, help="as of `buffer_with_backpressure`", unit="tokens", at_least=2)
    policy: Policy | None = option(None, help="as of `buffer_with_backpressure`")
    merge_chars: int | None = option(
        None, help="as of `buffer_with_backpressure`", unit="characters", at_least=0, at_most=MAX_MERGED_CHARS
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        self.buffer()

    @property
    def said(self) -> dict[str, Any]:
        """What it says of the buffer, by name."""
        names = ("high_water", "low_water", "capacity", "policy", "merge_chars")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def buffer(self) -> BufferOptions:
        """The buffer as this says it. Raises `ValueError` for bounds that do not fit together."""
        return BufferOptions(**self.said)


def _buffer(options: BufferOptions, _: Setup) -> Outlet:
    return Outlet(
        high_water=options.high_water,
        low_water=options.low_water,
        capacity=options.capacity,
        policy=options.policy,
        merge_chars=options.merge_chars,
    )


def _editor(options: EditorOptions, setup: Setup) -> EditorOptions:
    return options


BUFFER_WITH_BACKPRESSURE: Final = Kind(
    name="buffer_with_backpressure",
    summary="Holds what the client cannot take yet, and stops the reading of the provider when it is too much",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=BufferOptions,
    make=_buffer,
    once=True,
    bound="`capacity` tokens; at `high_water` the source waits, or what `policy` says",
    example="buffer_with_backpressure: {high_water: 64, low_water: 16}",
)
EDITOR: Final = Kind(
    name="editor",
    summary="The client that asked, by its ring of shared memory or its socket",
    takes=Shape.TOKENS,
    gives=None,
    options=EditorOptions,
    make=_editor,
    once=True,
    bound="the buffer before it, 64 KiB of frames that wait for the way out, and the client's ring or socket",
    example="editor: {transport: shm}",
)
