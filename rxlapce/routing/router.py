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

    A provider's name alone asks for the default model that it is configured with (Azure's deployment).

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
        provider = self.providers.get(prefix)
        if provider is not None and (slash or provider.default_model is not None):
            if not model and provider.default_model is None:
                raise self._unknown(f"{name!r} names a provider but no model: expected {prefix}/MODEL")
            return Route(provider, model or str(provider.default_model))
        if self.default is not None and not slash:
            return Route(self.providers[self.default], name)
        what = f"no provider {prefix!r}" if slash else f"{name!r} has no provider in front: expected PROVIDER/MODEL"
        raise self._unknown(what)

    def provider(self, name: str) -> Provider:
        """The provider of that name. Raises `ProviderError` of kind `bad_request` in phase `admit`."""
        found = self.providers.get(name)
        if found is None:
            raise self._unknown(f"no provider {name!r}")
        return found

    def _unknown(self, what: str) -> ProviderError:
        names = ", ".join(sorted(self.providers)) or "none"
        return ProviderError(ErrorKind.BAD_REQUEST, f"{what}; configured providers: {names}", phase=Phase.ADMIT)
