import pytest

from rxlapce.telemetry.metrics_labels import MAX_CHARS, MAX_PROVIDERS, OTHER, FirstCome, ModelLabels, model_labels
from rxlapce.telemetry.settings import MetricsSettings


def test_without_a_list_the_first_models_have_labels_and_keep_them() -> None:
    labels = ModelLabels((), 2)
    told = [labels.of("acme", model) for model in ("a", "b", "c", "a", "c", "b")]
    assert [model for _, model in told] == ["a", "b", OTHER, "a", OTHER, "b"]
    assert {provider for provider, _ in told} == {"acme"}


@pytest.mark.parametrize(
    ("patterns", "listed", "others"),
    [
        (("openai/gpt-5",), ["openai/gpt-5"], ["openai/gpt-5-mini", "openai/gpt", "azure/gpt-5"]),
        (("openai/gpt-*", "xai/*"), ["openai/gpt-", "openai/gpt-5", "xai/grok", "xai/a/b"], ["openai/o3", "x/ai"]),
        (("*",), ["a/b"], []),
        (("*", "openai/gpt-5"), ["openai/gpt-5"], []),
    ],
)
def test_with_a_list_only_what_it_fits_has_a_label(
    patterns: tuple[str, ...], listed: list[str], others: list[str]
) -> None:
    labels = model_labels(MetricsSettings(models=patterns))
    for name in listed:
        provider, _, model = name.partition("/")
        assert labels.of(provider, model) == (provider, model)
    for name in others:
        provider, _, model = name.partition("/")
        assert labels.of(provider, model) == (provider, OTHER)


def test_what_no_list_fits_takes_no_place_from_what_one_does() -> None:
    labels = model_labels(MetricsSettings(models=("acme/good-*",), max_models=1))
    for number in range(50):
        assert labels.of("acme", f"invented-{number}") == ("acme", OTHER)
    assert labels.of("acme", "good-1") == ("acme", "good-1")
    assert labels.of("acme", "good-2") == ("acme", OTHER)


def test_a_client_cannot_make_labels_or_memory_grow() -> None:
    labels = ModelLabels((), 10)
    told = {labels.of("acme", "x" * MAX_CHARS + str(number)) for number in range(1000)}
    assert told == {("acme", "x" * MAX_CHARS)}
    told |= {labels.of(f"provider {number}", f"m {number}") for number in range(1000)}
    assert len({provider for provider, _ in told}) <= MAX_PROVIDERS + 1
    assert len({pair for pair in told if pair[1] != OTHER}) == 10
    assert labels.of("one more", "m") == (OTHER, OTHER)


def test_no_name_has_a_label_where_none_may() -> None:
    assert FirstCome(0).label("ada") == OTHER
