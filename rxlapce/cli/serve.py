"""`rxlapce serve`: the daemon."""

import contextlib
import os
from pathlib import Path
from typing import Any

import click

from rxlapce.cli.loop import run
from rxlapce.cli.options import serve_config_option
from rxlapce.cli.passphrase import Remembered, ask_on_terminal
from rxlapce.cli.serving import Wish, serving
from rxlapce.cli.settings import expanded, given, setting_options
from rxlapce.config.env import check_base_url
from rxlapce.config.file import FileText
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.daemon.service import Service, forbid_core_dumps, raise_open_files
from rxlapce.daemon.systemd import Supervision, take_supervision
from rxlapce.providers import SPECS
from rxlapce.telemetry.log_output import MIB, LogFile
from rxlapce.telemetry.logs import logger
from rxlapce.transports.handshake import Signing
from rxlapce.transports.key_file import read_keys
from rxlapce.transports.listening import Listener, adopt
from rxlapce.transports.unix import default_socket_path


@click.command()
@click.option("--simulator", is_flag=True, help="Add a provider `simulator` that needs no key and no network.")
@click.option("--simulate", "simulated", metavar="NAME", multiple=True, type=click.Choice(list(SPECS)),
              help="Let a simulator answer as provider NAME, in its own dialect; repeatable.")  # fmt: skip
@serve_config_option
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, as provider `local`.")
@setting_options
@click.option("--replace", is_flag=True, help="Take the place of the daemon that listens there: no connect fails, and "
              "what it has under way may finish.")  # fmt: skip
@click.option("--ready-fd", type=int, hidden=True, help="Write one line to this descriptor when listening.")
@click.option("--lifeline-fd", type=int, hidden=True, help="Stop when this descriptor reaches its end.")
@click.option("--own-folder", is_flag=True, hidden=True, help="Remove the socket's folder at the end.")
@click.pass_context
def serve(
    context: click.Context,
    /,
    *,
    simulator: bool,
    simulated: tuple[str, ...],
    config: Path | None,
    base_url: str | None,
    replace: bool,
    ready_fd: int | None,
    lifeline_fd: int | None,
    own_folder: bool,
    **_: Any,
) -> None:
    """Run the daemon that editors connect to.

    Providers come from the environment (see `rxlapce providers`) and from the file, which is read anew when it changes:
    new streams take what it says then, running ones go on as they began, and a file that is wrong changes nothing. What
    may stand there as well as here is taken from the option, else the variable, else the file (see `rxlapce config`).

    SIGTERM or Ctrl-C stops in order: new requests are refused, running streams may finish for --drain seconds, then
    each gets a clear error; a second signal does not wait. SIGHUP reopens the log file, and reads the file of --config.
    SIGUSR2 starts this command anew, and stops in order once that serves.

    A service manager may pass the socket to listen on, and be told how the daemon is (`rxlapce service`).
    """
    supervision = take_supervision(os.environ, os.getpid())
    said = given(context)
    wish = Wish(
        environ=_environ(base_url),
        config=config,
        text=None if config is None else FileText.read(config),
        simulated=(*simulated, "simulator") if simulator else simulated,
        given=said,
        passphrases=Remembered(ask_on_terminal()),
    )
    telemetry, settings = wish.daemon()
    asked = said.get("serve.path")
    passed, path = _place(supervision, settings.path, replace=replace, is_asked=asked is not None)
    logs = telemetry.logs
    key_file = None if settings.key_file is None else expanded(settings.key_file)
    daemon_settings = DaemonSettings(
        path=path,
        ring_bytes=settings.ring_kib * 1024,
        drain_s=settings.drain_s,
        signing=Signing(keys=read_keys(key_file) if key_file else {}, required=settings.require_signing),
        log_content=logs.content,
    )
    as_json = None if logs.format == "auto" else logs.format == "json"
    file = None if logs.file is None else LogFile(expanded(logs.file), logs.mib * MIB)
    daemon = Daemon(daemon_settings, log=logger(output=file, level=logs.level, as_json=as_json, content=logs.content))
    forbid_core_dumps()
    before, files = raise_open_files()
    daemon.log.info("open_files", limit=files, before=before)
    service = Service(daemon, supervision, passed=passed, replace=replace)
    run(serving(service, wish, file, ready_fd, lifeline_fd))
    if own_folder:
        with contextlib.suppress(OSError):  # it is not empty, or whoever made it was faster
            path.parent.rmdir()


def _environ(base_url: str | None) -> dict[str, str]:
    environ: dict[str, str] = dict(os.environ)
    if base_url is not None:
        check_base_url(base_url, "--base-url")
        environ["LOCAL_BASE_URL"] = base_url
    return environ


def _place(
    supervision: Supervision, path: str | None, *, replace: bool, is_asked: bool
) -> tuple[Listener | None, Path]:
    """The socket that the service manager passed, if it did, and where to listen.

    What it passed goes before a path in the file; a path that was asked for besides is a misuse.
    """
    if supervision.passed is None:
        return None, default_socket_path() if path is None else expanded(path)
    passed, where = adopt(supervision.passed)
    if replace or (is_asked and path is not None and Path(path) != where):
        passed.close()
        raise click.UsageError(f"the service manager passed the socket at {where}: neither --path nor --replace")
    return passed, where
