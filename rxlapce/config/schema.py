"""The file's JSON Schema (draft 2020-12), for completion and first errors in editors; made from what reads the file.

It says what a single value may be. What depends on other values (an alias of a provider that nobody configured, a wait
shorter than another) and how YAML reads a word is found by `rxlapce check` alone.

Source: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

from msgspec.json import decode, encode

from rxlapce.config.accounts import MAX_KEYS
from rxlapce.config.file import SECTIONS
from rxlapce.config.keys import KEY, SCHEMES
from rxlapce.config.options import Option, options_of, required_of, sections_of
from rxlapce.config.resilience import QUOTAS, STORE
from rxlapce.config.routes import RouteSettings
from rxlapce.config.serve import ServeSettings
from rxlapce.config.vault import PASSPHRASE
from rxlapce.config.vendors import dialect_options
from rxlapce.pipeline.kinds import sinks, stages
from rxlapce.providers import SPECS
from rxlapce.providers.compatible import DIALECTS
from rxlapce.registry import Kind
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

Schema = dict[str, Any]

_SIMULATOR: Final[Schema] = {"enum": ["simulator"]}
_NAME_OF_MODELS: Final = r"^[!-.0-~]+$"
_MODEL: Final = "^[^/]+(/.+)?$"
#: The keyword of a number's unit, for those who read the schema again; others know it from the description.
UNIT: Final = "x-unit"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[Mapping[type, str]] = {int: "integer", float: "number", bool: "boolean", str: "string"}
_REFERENCE: Final[Schema] = {"$ref": "#/$defs/reference"}
_BASE: Final = RoutingSettings()


def schema() -> Schema:
    """The schema of the whole file."""
    made: Mapping[str, Callable[[], Schema]] = {
        "providers": _providers,
        "models": _models,
        "pipelines": _pipelines,
        "routes": _routes,
        "limits": _limits,
        "retry": _retry,
        "timeouts": lambda: settings_schema(_BASE.timeouts),
        "breaker": lambda: settings_schema(_BASE.breaker),
        "fallback": lambda: settings_schema(_BASE.fallback),
        "health": lambda: settings_schema(_BASE.health),
        "vault": _vault,
        "telemetry": lambda: settings_schema(TelemetrySettings()),
        "serve": lambda: settings_schema(ServeSettings()),
    }
    return {
        "$schema": DIALECT,
        "title": "rxlapce",
        "description": "What `rxlapce serve --config` reads; see docs/config.md.",
        **_mapping({name: {"description": said, **made[name]()} for name, said in SECTIONS.items()}),
        "$defs": {
            "reference": _reference(),
            "quota": {"title": "quota", **settings_schema(Quota(), without=("shared",))},
        },
    }


# -- from dataclasses -------------------------------------------------------------------------------------------------


def settings_schema(base: "DataclassInstance", *, without: Collection[str] = ()) -> Schema:
    """The mapping that sets what `base` holds, which is the default."""
    return _mapping(_members(type(base), base, without))


def options_schema(kind: "type[DataclassInstance]") -> Schema:
    """The mapping that makes a `kind`."""
    return _mapping(_members(kind, None, ()), required=sorted(required_of(kind)))


def option_schema(option: Option, default: object = MISSING) -> Schema:
    """What an option may be; with its default, unless there is none."""
    one: Schema = (
        {"enum": [str(choice) for choice in option.choices]} if option.choices else {"type": _TYPES[option.kind]}
    )
    told = option.told
    bounds = {"minimum": told.at_least, "exclusiveMinimum": told.above, "maximum": told.at_most}
    if option.kind in (int, float):
        one |= {name: bound for name, bound in bounds.items() if bound is not None}
    if option.many:
        one = {"type": "array", "items": one}
    if option.optional:
        one = {"enum": [*one["enum"], None]} if "enum" in one else {**one, "type": [one["type"], "null"]}
    if told.unit:
        one[UNIT] = told.unit
    if told.help:
        one["description"] = f"{told.help} ({told.unit})" if told.unit else told.help
    if default is not MISSING:
        one["default"] = decode(encode(default))
    return one


def _members(
    kind: "type[DataclassInstance]", base: "DataclassInstance | None", without: Collection[str]
) -> dict[str, Schema]:
    options, sections = options_of(kind), sections_of(kind)
    found: dict[str, Schema] = {}
    for field in fields(kind):
        name = field.name
        if name in without:
            continue
        if name in options:
            found[name] = option_schema(options[name], field.default if base is None else getattr(base, name))
        elif name in sections:
            made = options_schema(sections[name]) if base is None else settings_schema(getattr(base, name))
            found[name] = {"description": _summary(sections[name]), **made}
    return found


def _summary(kind: type) -> str:
    """The first line of what a class says of itself, as it follows a name."""
    said = (kind.__doc__ or "").partition("\n")[0].rstrip(".")
    return said[:1].lower() + said[1:]


def _mapping(properties: Mapping[str, Schema], *, required: Collection[str] = ()) -> Schema:
    made: Schema = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return {**made, "required": list(required)} if required else made


def _named(each: Schema, **names: object) -> Schema:
    """A mapping whose names are the user's own."""
    return {"type": "object", "additionalProperties": each, **({"propertyNames": names} if names else {})}


# -- the sections that are more than a dataclass ----------------------------------------------------------------------


def _models() -> Schema:
    target = options_schema(Target)
    model: Schema = target["properties"]["model"]
    model |= {"title": "PROVIDER/MODEL", "pattern": _MODEL}
    choose = options_of(Alias)["choose"]
    alias: dict[str, Schema] = {
        "ask": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [model, target]},
            "description": "whom to ask: texts PROVIDER/MODEL, or mappings with such a model",
        },
        "choose": option_schema(choose, choose.choices[0]),
        **_without_defaults(settings_schema(_BASE.fallback)["properties"]),
        "timeouts": {
            "description": "laid over what holds for all",
            **_mapping(_without_defaults(settings_schema(_BASE.timeouts)["properties"])),
        },
    }
    taken = {"enum": [*SPECS, *_SIMULATOR["enum"]]}
    return _named(_mapping(alias, required=("ask",)), **{"pattern": _NAME_OF_MODELS, "not": taken})


def _without_defaults(properties: Mapping[str, Schema]) -> dict[str, Schema]:
    """The properties of what is laid over something else, whose values are then the defaults."""
    return {name: {word: said for word, said in each.items() if word != "default"} for name, each in properties.items()}


def _pipelines() -> Schema:
    parts: dict[str, Schema] = {
        "stages": {
            "type": "array",
            "items": _one_of(stages(), "stage"),
            "description": "what an answer goes through, from the provider to the client",
        },
        "sinks": {
            "type": "array",
            "minItems": 1,
            "items": _one_of(sinks(), "sink"),
            "description": "where it ends",
        },
    }
    return _named(_mapping(parts))


def _one_of(kinds: Mapping[str, Kind[Any]], title: str) -> Schema:
    """A stage or sink: its name, or a mapping of its name to its options."""
    names = [{"const": kind.name, "description": kind.summary} for kind in kinds.values()]
    options = {kind.name: {"description": kind.summary, **options_schema(kind.options)} for kind in kinds.values()}
    one = {**_mapping(options), "minProperties": 1, "maxProperties": 1}
    return {"title": title, "anyOf": [{"oneOf": names}, one]}


def _routes() -> Schema:
    route = options_schema(RouteSettings)
    for each in route["properties"].values():
        if each["type"] == "array":
            each["minItems"] = 1
            del each["default"]
    return {"type": "array", "items": route}


def _limits() -> Schema:
    quota: Schema = {"$ref": "#/$defs/quota"}
    shared = {"title": "quota", **settings_schema(Quota())}
    each: Mapping[str, Schema] = {
        "default": {"title": "quota", **settings_schema(_BASE.admission.default)},
        "providers": _named(shared),
        "models": _named(quota, pattern="^[^/]+/.+$"),
        "users": _named(quota),
    }
    quotas = {name: {"description": said, **each.get(name, quota)} for name, said in QUOTAS.items()}
    store: Schema = {
        "type": ["string", "null"],
        "default": None,
        "description": "where a team's daemons count together: an address, or a reference to one; null: in this daemon",
    }
    wait = option_schema(options_of(Admission)["wait_s"], _BASE.admission.wait_s)
    return _mapping({**quotas, "wait_s": wait, STORE: store})


def _retry() -> Schema:
    members = settings_schema(_BASE.retry)["properties"]
    patience = option_schema(options_of(RoutingSettings)["patience_s"], _BASE.patience_s)
    budget = {"description": "retries of all requests together", **settings_schema(_BASE.budget)}
    return _mapping({**members, "patience_s": patience, "budget": budget})


def _providers() -> Schema:
    dialects = {name: option for api in DIALECTS for name, option in dialect_options(api).items()}
    defaults = {name: getattr(DIALECTS[api](), name) for api in DIALECTS for name in dialect_options(api)}
    texts: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
    apis: Schema = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(DIALECTS)}}
    vendor: dict[str, Schema] = {
        "base_url": {
            "type": "string",
            "pattern": r"^https?://[^@?#\s]+$",
            "description": "where its paths begin, such as https://api.groq.com/openai/v1",
        },
        **_accounts(),
        "apis": {**apis, "default": ["chat_completions"], "description": "what it speaks, the default first"},
        "default_model": {"type": "string", "description": "the model of its bare name"},
        "headers": {**texts, "description": "sent with each request; never a key"},
        "models_path": {**_path(optional=True), "default": "/models", "description": "where it lists its models"},
        "health_path": {**_path(), "description": "what answers when it is well, where that is no list of models"},
        **{name: option_schema(option, defaults[name]) for name, option in dialects.items()},
    }
    one = {**_mapping(_accounts()), "minProperties": 1, "maxProperties": 1}
    built_in = {name: {"description": spec.summary, **one} for name, spec in SPECS.items()}
    named = _named(_mapping(vendor, required=("base_url",)), pattern="^[a-z0-9][a-z0-9._-]*$", **{"not": _SIMULATOR})
    return {**named, "properties": built_in}


def _accounts() -> dict[str, Schema]:
    """What says by which key or keys a provider is asked."""
    quota = settings_schema(Quota())["properties"]
    name: Schema = {
        "type": "string",
        "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
        "description": "what it is called",
    }
    account = _mapping({"name": name, "key": _REFERENCE, **quota}, required=("name", "key"))
    several: Schema = {"type": "array", "minItems": 1, "maxItems": MAX_KEYS, "items": account}
    return {
        "key": {"description": "where its key is; without, it is asked without one", **_REFERENCE},
        "keys": {"description": "several keys, each with limits of its own, instead of key", **several},
    }


def _path(*, optional: bool = False) -> Schema:
    return {"type": ["string", "null"] if optional else "string", "pattern": "^/[!-~]*$"}


def _reference() -> Schema:
    pattern = f"^({_forms(SCHEMES)})$"
    return {"title": "reference", "type": "string", "pattern": pattern, "description": KEY.expected}


def _forms(schemes: Iterable[str]) -> str:
    return "|".join(f"{scheme}:{SCHEMES[scheme][0].pattern}" for scheme in schemes)


def _vault() -> Schema:
    unlock = f"^(keyring|prompt|{_forms(PASSPHRASE.schemes)})$"
    return _mapping(
        {
            "file": {"type": "string", "pattern": "^(/|~/)", "description": "the vault's path"},
            "unlock": {
                "title": "keyring, prompt or reference",
                "type": "string",
                "pattern": unlock,
                "description": f"what opens it: keyring, prompt, or {PASSPHRASE.expected}; without, whatever is there",
            },
        }
    )
