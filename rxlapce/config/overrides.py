"""What a command's options lay over the settings of the file."""

from collections.abc import Iterable
from dataclasses import replace

from rxlapce.routing.settings import Quota, RoutingSettings


def with_rate_limit(settings: RoutingSettings, requests: int) -> RoutingSettings:
    """The settings with `requests` a minute, 0 for no limit, in every quota of a model, whatever was said before."""
    admission = settings.admission

    def limited(quota: Quota) -> Quota:
        return replace(quota, requests=requests or None)

    return replace(
        settings,
        admission=replace(
            admission,
            default=limited(admission.default),
            providers={name: limited(quota) for name, quota in admission.providers.items()},
            models={name: limited(quota) for name, quota in admission.models.items()},
            keys={name: limited(quota) for name, quota in admission.keys.items()},
        ),
    )


def without_default_limit(settings: RoutingSettings, providers: Iterable[str]) -> RoutingSettings:
    """The settings in which `providers` have no limit, but for those that one is set for."""
    admission = settings.admission
    free = {name: Quota() for name in providers}
    return replace(settings, admission=replace(admission, providers={**free, **admission.providers}))
