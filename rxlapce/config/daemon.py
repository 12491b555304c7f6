"""The section `serve` from the file."""

from collections.abc import Collection

from rxlapce.config.document import Place
from rxlapce.config.options import read_settings
from rxlapce.config.serve import ServeSettings


def read_serve(at: Place, providers: Collection[str] | None) -> ServeSettings:
    """What the section says. `providers` are the names of those that there are, if that is known.

    Raises `ConfigError`.
    """
    found = read_settings(at, ServeSettings())
    if providers is not None and found.default_provider is not None and found.default_provider not in providers:
        place = at.members()["default_provider"]
        raise place.wrong(f"the name of a provider ({', '.join(providers) or 'none is configured'})", nearest=providers)
    return found
