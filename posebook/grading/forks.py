"""The grader's side of :mod:`posebook.grading.fork_server`: start it, and have it fork into a sandbox."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from posebook.grading import sandbox
from posebook.grading.sandbox import Limits

START = 600  # seconds for the server to come up, which takes some 3 of a processor: what takes longer hangs
SPACES = {"user": 0x10000000, "mnt": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000,
          "cgroup": 0x2000000}  # namespaces, with their flags of setns
RIGHTS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class ServerError(RuntimeError):
    """The fork server does not work; the text is what it said."""


class First:
    """The first process of a sandbox: all others in there end with it."""

    def __init__(self, bubblewrap: subprocess.Popen):
        try:
            if bubblewrap.stdout.read(1) != b"\n":  # it is there, and its sandbox is complete
                raise ServerError("the sandbox did not start")
            child, = psutil.Process(bubblewrap.pid).children()
            self.pid, self.file = child.pid, os.pidfd_open(child.pid)
        except (OSError, ValueError, psutil.Error) as error:
            raise ServerError(f"the sandbox did not start: {error}") from None
        finally:
            bubblewrap.stdout.close()

    def end(self) -> None:
        """Kill it and wait until nothing is left of all that ran there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.file, signal.SIGKILL)
        poll = select.poll()
        poll.register(self.file, select.POLLIN)
        poll.poll()
        os.close(self.file)

    def spaces(self) -> int:
        """The namespaces that are its own, as flags."""
        ours, its = _spaces("self"), _spaces(self.pid)
        return sum(flag for kind, flag in SPACES.items() if ours.get(kind) != its.get(kind))

    def holds(self, pid: int, user: int) -> bool:
        """Whether a process is in its sandbox, without any right."""
        try:
            status = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
            within = _spaces(pid) == _spaces(self.pid)
        except OSError:
            return False
        powerless = not any(int(status[name], 16) for name in RIGHTS) and int(status["NoNewPrivs"]) == 1
        who = user if os.geteuid() == 0 else os.geteuid()
        alone = os.geteuid() != 0 or not status["Groups"].split() and set(status["Gid"].split()) == {str(who)}
        return (within and powerless and alone and int(status["Seccomp"]) == 2
                and set(status["Uid"].split()) == {str(who)})


def _spaces(process: int | str) -> dict[str, str]:
    there = [kind for kind in SPACES if os.path.exists(f"/proc/self/ns/{kind}")]
    return {kind: os.readlink(f"/proc/{process}/ns/{kind}") for kind in there}


class Server:
    """A running fork server."""

    def __init__(self) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-P", str(Path(__file__).with_name("fork_server.py")), str(theirs.fileno())]
        with theirs, tempfile.TemporaryFile() as said:
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said}
            self.process = subprocess.Popen(argv, env=sandbox.environment(), cwd="/", start_new_session=True,
                                            pass_fds=[theirs.fileno()], **quiet)
            theirs.close()
            self.line.settimeout(START)
            try:
                if self.line.recv(16) != b"ready":
                    raise ServerError("it ended")
            except (OSError, ServerError):
                self.close()
                said.seek(0)
                text = said.read(2**16).decode(errors="replace").strip()
                raise ServerError(text.rpartition("\n")[2] or "it does not start") from None

    def fork(self, first: First, line: socket.socket, said: int, limits: Limits, user: int) -> None:
        """Have a fork enter a sandbox and serve this line; until it is ready it writes to ``said`` what goes wrong."""
        request = {"namespaces": first.spaces(), "limits": sandbox.resources(limits),
                   "refused": sandbox.refused().hex(), "user": user if os.geteuid() == 0 else None}
        try:
            socket.send_fds(self.line, [json.dumps(request).encode()], [first.file, line.fileno(), said])
        except OSError as error:
            raise ServerError(f"the server is gone: {error}") from None

    def close(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()
