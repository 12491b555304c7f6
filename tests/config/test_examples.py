"""Files that the documents show and the example are read, and mean what they say."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.config.simulated import simulated_environ
from rxlapce.config.sources import Config, load_config
from rxlapce.operators.legs import AfterCommit
from rxlapce.routing.alias import Choose
from rxlapce.routing.router import Router
from rxlapce.routing.settings import RoutingSettings

Load = Callable[[str], Config]
ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "resilience.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
ENVIRON = {
    **simulated_environ("http://127.0.0.1:9"),
    "GROQ_API_KEY": "simulated-key",
    "RXLAPCE_LIMITS_STORE": "redis://quota.example.com",
}


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_a_file_of_the_document_is_read_and_changes_something(block: int, load: Load) -> None:
    config = load(BLOCKS[block])
    Router(config.providers, aliases=config.aliases)
    is_defaults = "Everything as it is by default" in DOCUMENT.read_text().partition(BLOCKS[block])[0][-200:]
    assert (config.aliases == () and config.settings == RoutingSettings()) is is_defaults


def test_the_last_file_of_the_document_is_every_default(load: Load) -> None:
    assert len(BLOCKS) >= 7
    assert load(BLOCKS[-1]).settings == RoutingSettings()
    assert "max_cooldown_s: 3600" in BLOCKS[-1]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a file of this text where every provider is configured."""

    def loaded(text: str) -> Config:
        (tmp_path / "f.yaml").write_text(text)
        return load_config(ENVIRON, tmp_path / "f.yaml")

    return loaded


def test_the_example_is_read_and_its_aliases_can_be_asked() -> None:
    config = load_config(ENVIRON, ROOT / "examples" / "resilience.yaml")
    router = Router(config.providers, aliases=config.aliases)
    assert list(router.aliases) == ["fast", "careful", "trial"]
    assert router.route("fast").name == "groq/llama-3.3-70b-versatile"
    assert router.aliases["trial"].choose is Choose.WEIGHTED
    careful = router.aliases["careful"].fallback
    assert careful is not None
    assert careful.after_commit is AfterCommit.CONTINUE
    name, quota = config.settings.admission.of("groq", "whatever")
    assert (name, quota.requests) == ("groq", 30)
    assert "simulated-key" not in repr(config)
