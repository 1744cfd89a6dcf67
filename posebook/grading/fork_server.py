"""The fork server: a Python that has imported what answers need. Each fork of it becomes the kernel of one submission.

:class:`posebook.grading.kernel.Server` runs this file, as a script and outside of any sandbox. It reads what the grader
sends and nothing else. A fork first enters the sandbox that bubblewrap has made for it alone, gives up all rights for
good and closes all but its own line to the grader; only then does it import anything of posebook, and only after that
does it read anything of a submission. It cannot come back: what it would need for that is not in the sandbox.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import time

PRELOADED = (  # what a kernel imports to start, and notebooks in their first cell; nothing that starts a thread
    "torch", "torch.fx.experimental.symbolic_shapes", "numpy.random", "ipykernel.kernelapp", "ipykernel.ipkernel",
    "ipykernel.zmqshell", "ipykernel.debugger", "IPython.core.magics", "IPython.core.historyapp",
    "matplotlib.figure", "matplotlib.font_manager", "matplotlib.backends.backend_agg", "matplotlib.pyplot",
    "matplotlib_inline.backend_inline", "PIL.PngImagePlugin",
)  # fmt: skip
HOME = "/home/student"
C = ctypes.CDLL(None, use_errno=True)
SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38  # of prctl


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library, which says 0 where all is well."""
    if getattr(C, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def load() -> None:
    """Import what forks will need, with a home of its own where the libraries look for settings."""
    with tempfile.TemporaryDirectory(prefix="posebook-home-") as home:
        os.environ["HOME"] = home
        for name in PRELOADED:
            try:
                importlib.import_module(name)
            except ImportError:
                if name == "torch":
                    raise
    os.environ["HOME"] = HOME
    import torch

    torch.set_num_threads(1)  # several submissions are graded at once
    gc.collect()
    gc.freeze()
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("an import has started a thread, which no fork would have")


def serve(control: socket.socket) -> tuple[dict, list[int]]:
    """Fork for each request. Returns in the forks only: the request and the files that came with it."""
    control.send(b"ready")
    while True:
        message, files, *_ = socket.recv_fds(control, 2**16, 3)
        if not message:
            sys.exit()  # the grader is gone
        child = os.fork()
        if not child:
            control.close()
            return json.loads(message), files
        for file in files:
            os.close(file)
        os.waitpid(child, 0)


def enter(first: int, namespaces: int) -> None:
    """Into the sandbox with this first process (a file that stands for it): its files, processes, network, users.

    Only a child is among its processes; and only the child of a child that has ended has that first one as its parent,
    as all have that are left alone there.
    """
    call("setns", first, namespaces)
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    while os.getppid() != 1:
        time.sleep(0.001)


def give_up(limits: dict[str, int], user: int | None, refused: bytes) -> None:
    """All rights, for good: as prlimit, setpriv and the filter of system calls do it for a kernel that starts cold."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (most, most))
    for capability in range(64):
        C.prctl(CAPBSET_DROP, capability, 0, 0, 0)  # beyond the last one it says that there is none
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    held = ctypes.create_string_buffer(refused)
    call("prctl", SET_SECCOMP, 2, struct.pack("HP", len(refused) // 8, ctypes.addressof(held)), 0, 0)
    call("prctl", SET_DUMPABLE, 1, 0, 0, 0)  # as after any exec: whoever may not look at it cannot see what it uses


def settle(line: int) -> None:
    """As a Python that has just started here: no file but the line, the sandbox's paths, chance of its own."""
    for file in map(int, os.listdir("/proc/self/fd")):
        if file > 2 and file != line:
            try:
                os.close(file)
            except OSError:
                pass  # the one that listed them
    os.chdir(HOME)
    os.environ["PWD"] = HOME
    sys.argv, sys.path = ["-c"], ["", *filter(os.path.exists, sys.path)]
    sys.path_importer_cache.clear()
    tempfile.tempdir = tempfile._name_sequence = None
    sys.modules["numpy"].random.seed()  # Python's own generator does so by itself
    sys.modules["torch"].default_generator.seed()
    if "multiprocessing.process" in sys.modules:
        process = sys.modules["multiprocessing.process"].current_process()
        process.authkey = os.urandom(32)


def main(descriptor: int) -> int:
    """Load and serve; in a fork, what comes back is the line to the grader."""
    call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    call("prctl", SET_DUMPABLE, 0, 0, 0, 0)
    load()
    request, (first, line, said) = serve(socket.socket(fileno=descriptor))
    os.dup2(said, 2)
    enter(first, request["namespaces"])
    give_up(request["limits"], request["user"], bytes.fromhex(request["refused"]))
    settle(line)
    return line


if __name__ == "__main__":
    line = main(int(sys.argv[1]))
    guest = importlib.import_module("posebook.grading.guest")  # the sandbox's copy: outside there is none
    guest.main(line)
