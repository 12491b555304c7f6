"""From a model's name to a provider and its own name for the model."""

from collections.abc import Mapping
from dataclasses import dataclass

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.providers.provider import Provider


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, and by which of its models."""

    provider: Provider
    model: str


class Router:
    """Resolves `provider/model`, the prefix stripped; a name without a known prefix goes to `default` if there is one.

    Never another vendor in silence: what cannot be resolved is an error that lists what is configured.
    """

    def __init__(self, providers: Mapping[str, Provider], default: str | None = None) -> None:
        if default is not None and default not in providers:
            raise ValueError(f"the default provider {default!r} is not configured")
        self.providers = dict(providers)
        self.default = default

    def route(self, name: str) -> Route:
        """The route of `name`. Raises `ProviderError` of kind `bad_request` in phase `admit`."""
        prefix, slash, model = name.partition("/")
        if slash and prefix in self.providers:
            if not model:
                raise self._unknown(f"{name!r} names a provider but no model: expected {prefix}/MODEL")
            return Route(self.providers[prefix], model)
        if self.default is not None and not slash:
            return Route(self.providers[self.default], name)
        what = f"no provider {prefix!r}" if slash else f"{name!r} has no provider in front: expected PROVIDER/MODEL"
        raise self._unknown(what)

    def _unknown(self, what: str) -> ProviderError:
        names = ", ".join(sorted(self.providers)) or "none"
        return ProviderError(ErrorKind.BAD_REQUEST, f"{what}; configured providers: {names}", phase=Phase.ADMIT)
