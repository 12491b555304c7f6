"""The service under a real systemd, in a container of its own: installed, activated, upgraded, killed, removed.

It needs root, to have a user manager in a mount namespace, and a machine that systemd does not run itself.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: All that it starts ends with it.
NAMESPACE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
SYSTEMD = Path("/lib/systemd/systemd")
SCRIPT = """
set -eu
mount -t tmpfs none /run/systemd
mkdir /run/systemd/system
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
group=/sys/fs/cgroup/rxlapce-test-$$
mkdir $group
echo $$ >$group/cgroup.procs
"$SYSTEMD" --user --log-target=null &
manager=$!
leave() {
  kill $manager && wait $manager || true
  echo $$ >/sys/fs/cgroup/cgroup.procs
  find $group -depth -type d -exec rmdir {} +
}
trap leave EXIT
until [ -S "$XDG_RUNTIME_DIR/systemd/private" ]; do :; done
shown() { systemctl --user show -p "$1" --value rxlapce.service; }
main_pid() { shown MainPID; }
other_than() { until [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ]; do :; done; main_pid; }
ask() { "$PYTHON" -m rxlapce chat -m "simulator/sim:$1" hi; }
"$PYTHON" -m rxlapce service install --now -- --simulator
echo "main before: $(main_pid)"
echo "answer: $(ask tps=0,tokens=3)"
first=$(main_pid)
ask tps=30,tokens=40 >"$HOME/streamed" &
stream=$!
until "$PYTHON" -m rxlapce status --json | grep -q '"requests": *1'; do :; done
systemctl --user reload rxlapce.service
second=$(other_than $first)
echo "answer of the next: $(ask tps=0,tokens=3)"
wait $stream && echo "streamed: $(wc -c <"$HOME/streamed")"
until ! kill -0 $first 2>/dev/null; do :; done
echo "state: $(shown ActiveState) $(shown NRestarts)"
kill -9 $second
echo "answer after a kill: $(ask tps=0,tokens=3)"
third=$(other_than $second)
systemctl --user restart rxlapce.service
echo "answer after a restart: $(ask tps=0,tokens=3)"
shown StatusText
"$PYTHON" -m rxlapce service uninstall
[ ! -e "$XDG_RUNTIME_DIR/rxlapce/daemon.sock" ] && echo removed
"""

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root of Linux can set it up"),
    pytest.mark.skipif(not SYSTEMD.exists() or not shutil.which("unshare"), reason="systemd is not installed"),
    pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine: it is left alone"),
    pytest.mark.skipif(not Path("/run/systemd").exists(), reason="there is no place for a systemd of the test's own"),
]


def test_systemd_itself_starts_watches_upgrades_and_restarts_it(folder: Path) -> None:
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    began_s = time.monotonic()
    done = subprocess.run(
        ["/usr/bin/env", *NAMESPACE, "/bin/sh", "-c", SCRIPT],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime),
             "PYTHON": sys.executable, "SYSTEMD": str(SYSTEMD)},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert done.returncode == 0, (done.stdout, done.stderr, time.monotonic() - began_s)
    assert told["main before"] == "0", "nothing runs before somebody connects"
    answers = {told[name] for name in told if name.startswith("answer")}
    assert len(answers) == 1
    assert all(answers)
    assert int(told["streamed"]) > 100
    assert told["state"] == "active 0"
    assert told["serving"].endswith("requests under way")
    assert done.stdout.endswith("removed\n")
