"""The fork server: no fork sees another one or the server, and what goes wrong with it costs no point.

What the sandbox contains, which cheats earn nothing and which oddities are honest is tried, on forks, in other files.
"""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from test_sandbox import LIMITS, RIGHT, graded, pass_as_ordinary_user, second_user

from posebook.grading import forks, kernel, sandbox
from posebook.grading.kernel import Kernel, Session

pytestmark = pytest.mark.usefixtures("bubblewrap")

LEAVES = """
import atexit, builtins, os, subprocess, sys, time
import multiprocessing.shared_memory, numpy, random, tempfile, torch
torch.Tensor.mark = builtins.mark = sys.mark = "mark"
os.environ["MARK"] = "mark"
sys.path.insert(0, "/tmp")
places = ("/tmp", "/home/student", "/dev/shm", "/home/student/.config", "/home/student/.ipython")
for place in places:
    os.makedirs(place, exist_ok=True)
    for name in ("torch.py", "numpy.py", "posebook.py", "sitecustomize.py", "usercustomize.py", "mark"):
        open(f"{place}/{name}", "w").write("mark = 'mark'")
multiprocessing.shared_memory.SharedMemory("marked", create=True, size=100)
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        while True: time.sleep(0.01)
subprocess.Popen(["sleep", "1000"], start_new_session=True)
"""
SEES = """
import builtins, os, random, sys
import numpy, torch
def sees():
    found = [name for name in ("MARK",) if name in os.environ]
    found += [str(thing) for thing in (torch.Tensor, builtins, sys) if hasattr(thing, "mark")]
    found += [path for path in sys.path if path == "/tmp"]
    for place in ("/tmp", "/home/student", "/dev/shm"):
        for folder, _, files in os.walk(place):
            found += [f"{folder}/{name}" for name in files if name == "mark" or name.endswith(".py")]
    found += [name for name in os.listdir("/proc") if name.isdigit() and int(name) > os.getpid()]
    return tuple(found)
def processes():
    return tuple(open(f"/proc/{name}/cmdline").read() for name in os.listdir("/proc") if name.isdigit())
def chance():
    import multiprocessing, secrets, tempfile, uuid
    return (str(torch.initial_seed()), float(torch.rand(1)), float(numpy.random.rand()),
            random.random(), secrets.token_hex(), str(uuid.uuid4()), tempfile.mktemp(),
            multiprocessing.current_process().authkey.hex(), get_ipython().kernel.session.session)
def fixed():
    return (hash("posebook"), os.getcwd(), sys.path[0], os.getppid(),
            tuple(sorted(os.environ.items())), tuple(sys.argv), torch.get_num_threads(), os.umask(0o22), __name__,
            tuple(path for path in sys.path if os.path.exists(path)))
"""
# Whatever could reach the server: its processes, what it has open, and ways out of the sandbox
REACH = """
import ctypes, os, signal, socket
C = ctypes.CDLL(None, use_errno=True)
def kills():
    for pid in [*range(2, 40), *range(100, 40_000, 7), os.getppid(), 1, -1]:
        if str(pid) not in os.listdir("/proc/self/task"):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
    return os.getppid()
def listens():
    found = []
    for n in map(int, os.listdir("/proc/self/fd")):
        try:
            s = socket.socket(fileno=os.dup(n))
        except OSError:
            continue
        found.append((int(s.type), s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED)))
        s.detach()
    return tuple(found)
def leaves():
    refused = []
    for kind in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x20000 | 0x40000000):
        child = os.fork()
        if not child:
            os._exit(0 if C.unshare(kind) else 1)
        refused.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
    for name in ("user", "mnt", "pid", "net", "ipc", "uts"):
        try:
            refused.append(C.setns(os.open(f"/proc/1/ns/{name}", os.O_RDONLY), 0) != 0)
        except OSError:
            refused.append(True)
    refused.append(C.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) != 0)
    refused += [C.umount2(path, 2) != 0 for path in (b"/proc", b"/tmp", b"/home/student", b"/dev")]
    refused.append(C.pivot_root(b"/tmp", b"/tmp") != 0 if hasattr(C, "pivot_root") else True)
    return tuple(refused)
def alters():
    found = []
    for path in ("/proc/1/mem", "/proc/1/environ", "/proc/sys/user/max_user_namespaces",
                 "/run/posebook/posebook/__init__.py", "/run/posebook/posebook/__pycache__/x"):
        try:
            open(path, "ab")
            found.append(path)
        except OSError:
            pass
    if C.ptrace(16, 1, 0, 0) == 0:
        found.append("ptrace")
    for act in (lambda: os.chroot("/tmp"), lambda: os.setuid(0)):
        try:
            act()
            found.append("rights")
        except OSError:
            pass
    return tuple(found)
def limits():
    import resource
    return tuple(resource.getrlimit(getattr(resource, "RLIMIT_" + n))
                 for n in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE"))
def raises_limits():
    import resource
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (10**4, 10**4))
        return True
    except (OSError, ValueError):
        return False
def status():
    kept = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    return tuple(line.strip() for line in open("/proc/self/status") if line.split(":")[0] in kept[3:])
"""


@pytest.fixture
def server():
    server = kernel.server()
    assert server, "there is no fork server"
    return server


def ask(session, name, *args):
    reply = session.ask(("call", name, 600.0, args), 700)
    assert reply[0] == "returned", reply
    return reply[1]


def session(*sources, **options):
    return Session(list(enumerate(sources)), withheld=(), limits=LIMITS, **options)


def test_a_fork_sees_nothing_of_the_one_before(server):
    chances = []
    for sources in ((LEAVES,), (SEES,), (SEES,)):
        with session(*sources) as its:
            its.ready()
            assert not its.cell_notes and its.kernel.first, its.cell_notes
            if sources == (SEES,):
                assert ask(its, "sees") == ()
                chances.append(ask(its, "chance"))
                commands = ask(its, "processes")
                assert len(commands) == 2
    assert not set(chances[0]) & set(chances[1])
    assert kernel.server() is server


def test_a_fork_is_as_a_cold_kernel():
    seen = []
    for cold in (False, True):
        with session(SEES + REACH, cold=cold) as its:
            its.ready()
            assert bool(its.kernel.first) is not cold
            seen.append([ask(its, name) for name in ("fixed", "limits", "status", "leaves")])
            assert not ask(its, "raises_limits")
            assert cold or ask(its, "alters") == ()
    assert seen[0] == seen[1]
    assert all(seen[0][-1]) or os.geteuid() == 0  # whom root starts may make namespaces, also in the cold sandbox


def test_a_fork_cannot_reach_the_server(server):
    own = {os.stat(f"/proc/{os.getpid()}/fd/{its.fileno()}").st_ino for its in (server.line,)}
    with session(REACH) as its:
        its.ready()
        main = its.kernel.main
        opened = [os.readlink(path) for path in Path(f"/proc/{main}/fd").iterdir()]
        assert not {f"socket:[{n}]" for n in own} & set(opened)
        if os.geteuid() == 0:
            servers = set(map(os.readlink, Path(f"/proc/{server.process.pid}/fd").iterdir()))
            assert servers & set(opened) == {"/dev/null"}
        kinds = [kind for kind, _ in ask(its, "listens")]
        assert kinds and 5 not in kinds  # SOCK_SEQPACKET: the server's
        assert ask(its, "kills") == 1
        assert its.kernel.first and main == its.kernel.main
    assert server.process.poll() is None and kernel.server() is server
    assert graded(RIGHT).reports[0].passed


def test_the_server_hides_its_memory(server):
    status = Path(f"/proc/{server.process.pid}")
    assert status.stat().st_uid == 0  # not dumpable: its files are root's
    assert len(list((status / "task").iterdir())) == 1
    names = dict(item.split("=", 1) for item in (status / "environ").read_text().split("\0") if item)
    assert names == sandbox.environment()


def test_nothing_is_left_of_a_fork(server):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with session(LEAVES) as its:
        its.ready()
        own = [process for process in its.kernel._processes()]
        assert len(own) >= 3 + 4
    assert not any(process.is_running() for process in own)
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before
    assert [file for file in Path(f"/proc/{os.getpid()}/fd").iterdir() if "pidfd" in os.path.realpath(file)] == []


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong with it is no fault of the student


@pytest.fixture
def starts(monkeypatch):
    """Which kernels were asked of the server."""
    seen, real = [], Kernel.__init__

    def init(self, course, limits, **options):
        if limits is not sandbox.PROBED:
            seen.append("fork" if options.get("server") else "cold")
        real(self, course, limits, **options)

    monkeypatch.setattr(Kernel, "__init__", init)
    return seen


def test_a_server_that_was_killed_is_replaced(server, starts):
    server.process.kill()
    assert graded(RIGHT).reports[0].passed and starts == ["fork", "cold"]
    assert graded(RIGHT).reports[0].passed and starts == ["fork", "cold", "fork"]
    assert kernel.server() is not server and server.process.poll() is not None


def test_a_server_that_hangs_is_replaced(server, starts, monkeypatch):
    server.process.send_signal(signal.SIGSTOP)
    start = kernel.START
    monkeypatch.setattr(kernel, "START", 1)
    real = kernel.stop
    monkeypatch.setattr(kernel, "stop", lambda: (monkeypatch.setattr(kernel, "START", start), real()))
    assert graded(RIGHT).reports[0].passed and starts == ["fork", "cold"]
    assert server.process.poll() is not None


def test_a_fork_that_does_not_get_in_is_replaced(server, starts, monkeypatch):
    monkeypatch.setattr(forks.First, "spaces", lambda self: 0)  # it stays outside, and never says that it is ready
    monkeypatch.setattr(kernel, "START", 600)
    end = time.monotonic()
    with pytest.raises(kernel.NotStarted):
        Kernel(sandbox.stripped(()), LIMITS, server=server)
    assert time.monotonic() - end < 300


def test_a_death_counts_only_where_a_cold_kernel_dies_too(starts):
    result = graded("import os\ndef left(x):\n    os._exit(0)", RIGHT, problems=("left", "right"))
    assert [report.passed for report in result.reports] == [False, True] and result.status == "killed"
    assert starts[:2] == ["fork", "cold"]


def test_without_a_server_all_is_graded_cold(starts, monkeypatch):
    def fails():
        raise forks.ServerError("no server today")

    kernel.stop()
    monkeypatch.setattr(kernel, "Server", fails)
    monkeypatch.setattr(kernel, "_failed", [])
    with pytest.warns(UserWarning, match="every kernel starts cold.*no server today"):
        assert [graded(RIGHT).reports[0].passed for _ in range(2)] == [True, True]
    assert starts == ["cold", "cold"]


def test_a_server_whose_forks_are_not_contained_is_not_used(monkeypatch):
    kernel.stop()
    monkeypatch.setattr(kernel, "_failed", [])
    monkeypatch.setattr(sandbox, "PROBE", sandbox.PROBE.replace("os.memfd_create", "len"))
    assert kernel.server() is None and "bounds memory" in kernel._failed[0]


@second_user
def test_all_of_this_as_an_ordinary_user():
    pass_as_ordinary_user(__file__, "test_a_fork or nothing or killed")
