"""From a `Config` to what answers requests."""

from rxlapce.config.sources import Config
from rxlapce.providers.call import HttpSource
from rxlapce.routing.health import OnHealth
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.stages import default_way
from rxlapce.routing.traffic import Traffic
from rxlapce.routing.ways import Ways
from rxlapce.telemetry.hooks import OnSettled


def manager_of(
    config: Config,
    client: HttpSource,
    *,
    traffic: Traffic | None = None,
    default_provider: str | None = None,
    on_settled: OnSettled | None = None,
    on_health: OnHealth | None = None,
) -> ProviderManager:
    """All that a new stream needs, as `config` says: router, settings, and the ways of its pipelines.

    **To load a changed file while requests run**: make the next manager with the `traffic` of the one before, whose
    quotas, slots, breakers, budget and totals then go on (`Traffic.adopt`), and put it in its place.

        following = manager_of(config, client, traffic=running.traffic, ...)   # may raise: nothing has changed
        routes.swap(following)                                                 # daemon.handlers.ProviderRoutes
        await running.stop()                                                   # its health checks
        following.start()

    Streams that run keep the manager, the stages and the sinks with which they began. Providers' health is looked at
    anew. Where quotas are counted (`Config.store`) is the traffic's, and cannot be changed so.

    Raises `ConfigError` for a stage or sink that cannot be made.
    """
    router = Router(config.providers, default_provider, aliases=config.aliases)
    ways = Ways(default_way(config.settings))
    if config.pipelines:
        from rxlapce.pipeline.build import ways_of  # with what all stages need

        ways = ways_of(config.pipelines, config.routes, config.settings)
    if traffic is not None:
        traffic.adopt(config.settings)  # last: up to here nothing has changed
    return ProviderManager(
        client, router, config.settings, ways=ways, traffic=traffic, on_settled=on_settled, on_health=on_health
    )
