"""The texts of the units that run the daemon as a service of its user: systemd's, and launchd's."""

import plistlib
import shlex
from collections.abc import Sequence
from typing import Final

#: Seconds that running streams get when the service stops, and the patience of its manager beyond that.
DRAIN_S: Final = 20
PATIENCE_S: Final = DRAIN_S + 10
SERVICE: Final = "rxlapce.service"
SOCKET: Final = "rxlapce.socket"
LABEL: Final = "dev.rxlapce.daemon"
#: Where the socket of a user's service is, in systemd's words: as `default_socket_path` has it.
USUAL_SOCKET: Final = "%t/rxlapce/daemon.sock"
#: Where pip and its kin put a user's commands, for those who copy a unit instead of installing it.
USUAL_PROGRAM: Final = "%h/.local/bin/rxlapce"

_SERVICE = """\
[Unit]
Description=rxlapce: answers of language models, streamed to editors
Requires={socket}
After={socket}

[Service]
Type=notify
ExecStart={command}
# A new process, of a newer version if there is one, takes over; this one finishes its streams.
ExecReload=/bin/kill -USR2 $MAINPID
# Keys and settings, a NAME=value a line. Keep it to yourself: chmod 600.
EnvironmentFile=-%E/rxlapce/env
Restart=on-failure
RestartSec=1
TimeoutStartSec=30
# More than the {drain} s that running streams get.
TimeoutStopSec={patience}
# The daemon's own loop gives a sign of life twice in this time.
WatchdogSec=30

# All of these work in a user's units without any privilege; those that need namespaces do not everywhere.
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
Also={socket}
WantedBy=default.target
"""

_SOCKET = """\
[Unit]
Description=The socket at which editors find rxlapce

[Socket]
ListenStream={path}
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

_ENVIRONMENT = 'if [ -r "$HOME/.config/rxlapce/env" ]; then set -a; . "$HOME/.config/rxlapce/env"; set +a; fi'


def systemd_service(command: Sequence[str]) -> str:
    """The service that runs `command`, whose words are taken as they are."""
    return _SERVICE.format(
        command=" ".join(map(_systemd_word, command)), socket=SOCKET, drain=DRAIN_S, patience=PATIENCE_S
    )


def systemd_socket(path: str) -> str:
    """The socket that starts the service. In `path` systemd's specifiers hold, such as %t."""
    return _SOCKET.format(path=path)


def usual_systemd_service() -> str:
    """The service for a program where a user's programs usually are."""
    return systemd_service(["PROGRAM", "serve", "--drain", str(DRAIN_S)]).replace("PROGRAM", USUAL_PROGRAM)


def launchd_agent(command: Sequence[str]) -> bytes:
    """The agent that runs `command` from login on."""
    return _launchd_agent(shlex.join(command))


def usual_launchd_agent() -> bytes:
    """The agent for a program where a user's programs usually are."""
    return _launchd_agent(
        f'"$HOME/.local/bin/rxlapce" serve --drain {DRAIN_S} --log-file "$HOME/Library/Logs/rxlapce.log"'
    )


def _launchd_agent(command: str) -> bytes:
    """Launchd reads no file of variables and knows no home: a shell does."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": ["/bin/sh", "-c", f"{_ENVIRONMENT}; exec {command}"],
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ExitTimeOut": PATIENCE_S,
            "ProcessType": "Interactive",
            "Umask": 0o077,
        },
        sort_keys=False,
    )


def _systemd_word(word: str) -> str:
    """A word of a command line as systemd.service(5) quotes it; specifiers and variables do not hold in it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    plain = word and not set(word) & set(" \t\n\"'\\;")
    return escaped if plain else f'"{escaped}"'
