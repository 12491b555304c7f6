"""All paths of the simulator, collected from one file a vendor. A new vendor is its import and its line here.

Where two vendors have the same path, the first one whose demanded headers all came takes the request, else the last.
"""

from typing import Final

from rxlapce.simulator import anthropic_routes, openai_routes
from rxlapce.simulator.route import PlainRoute, Route
from rxlapce.simulator.vendor import Vendor

ROUTES: Final[tuple[Route, ...]] = (
    *anthropic_routes.ROUTES,
    *openai_routes.ROUTES,
)

PLAIN_ROUTES: Final[tuple[PlainRoute, ...]] = (
    *anthropic_routes.PLAIN_ROUTES,
    *openai_routes.PLAIN_ROUTES,
)

#: Every vendor once.
VENDORS: Final[tuple[Vendor, ...]] = tuple(
    {
        **{route.vendor.name: route.vendor for route in ROUTES},
        **{route.vendor.name: route.vendor for route in PLAIN_ROUTES},
    }.values()
)
