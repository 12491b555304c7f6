"""All paths of the simulator, collected from one file a vendor. A new vendor is its import and its line here.

Where two vendors have the same path, the first one whose demanded headers all came takes the request, else the last.
"""

from typing import Final

from rxlapce.simulator.anthropic import routes as anthropic_routes
from rxlapce.simulator.azure import routes as azure_routes
from rxlapce.simulator.bedrock import routes as bedrock_routes
from rxlapce.simulator.google import routes as google_routes
from rxlapce.simulator.ollama import routes as ollama_routes
from rxlapce.simulator.openai import routes as openai_routes
from rxlapce.simulator.openrouter import routes as openrouter_routes
from rxlapce.simulator.route import PlainRoute, Route
from rxlapce.simulator.vendor import Vendor
from rxlapce.simulator.xai import routes as xai_routes

ROUTES: Final[tuple[Route, ...]] = (
    *anthropic_routes.ROUTES,
    *azure_routes.ROUTES,
    *bedrock_routes.ROUTES,
    *google_routes.ROUTES,
    *ollama_routes.ROUTES,
    *openai_routes.ROUTES,
    *openrouter_routes.ROUTES,
    *xai_routes.ROUTES,
)

PLAIN_ROUTES: Final[tuple[PlainRoute, ...]] = (
    *anthropic_routes.PLAIN_ROUTES,
    *azure_routes.PLAIN_ROUTES,
    *bedrock_routes.PLAIN_ROUTES,
    *google_routes.PLAIN_ROUTES,
    *ollama_routes.PLAIN_ROUTES,
    *openai_routes.PLAIN_ROUTES,
    *openrouter_routes.PLAIN_ROUTES,
    *xai_routes.PLAIN_ROUTES,
)

#: Every vendor once.
VENDORS: Final[tuple[Vendor, ...]] = tuple(
    {
        **{route.vendor.name: route.vendor for route in ROUTES},
        **{route.vendor.name: route.vendor for route in PLAIN_ROUTES},
    }.values()
)
