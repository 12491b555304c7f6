"""The stage `log_tap`. Rows of the audit log need no stage: each request has one, whatever its pipeline."""

from typing import Final

from reactivex import Observable

from rxlapce.happenings import Begun, Ended, Happening
from rxlapce.operators.log_tap import log_tap
from rxlapce.registry import Kind, Shape
from rxlapce.routing.stages import NoOptions
from rxlapce.routing.traffic import Operator
from rxlapce.routing.way import MakeTokens, Setup, Site
from rxlapce.tokens import StreamToken


def _tap(_: NoOptions, __: Setup) -> MakeTokens:
    def make(site: Site) -> Operator:
        if site.traffic.log_of is None:
            return _as_it_is
        write = site.traffic.log_of(site.exchange)

        def tell(happening: Happening) -> None:
            if isinstance(happening, Begun | Ended):  # the rest is in the log of each request, with a tap or without
                write(happening)

        return log_tap(tell, exchange=site.exchange)

    return make


def _as_it_is(source: Observable[StreamToken]) -> Observable[StreamToken]:
    return source


LOG_TAP: Final = Kind(
    name="log_tap",
    summary="Tells the log when what stands before it begins and how it ends, for each attempt, model or request",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=NoOptions,
    make=_tap,
    bound="a histogram of integers a stream",
    example="log_tap",
)
