"""The sandbox contains, as root and as an ordinary user; each bomb fails alone, and what comes after it is graded."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

import psutil
import pytest
import torch
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

import posebook
from posebook.checks import PROBLEMS, trial, withheld
from posebook.checks.problem import Case, Problem
from posebook.grading import kernel, sandbox
from posebook.grading.grade import Limits, Result, grade
from posebook.grading.kernel import Session
from posebook.grading.submission import Cell, Submission

pytestmark = pytest.mark.usefixtures("bubblewrap")

ROOT = Path(posebook.__file__).resolve().parents[1]
LIMITS = Limits(cell=3, memory=5 * 2**28, processes=40)
USERS = ["root", "ordinary"] if os.geteuid() == 0 or "SECOND_USER" in os.environ else ["ordinary"]


def twice(name):
    return Problem(name, points=1, minutes=1, reference=lambda x: 2 * x, own=(), mistakes=(),
                   cases=(Case("any numbers", lambda rng: (torch.randn(5, generator=rng),)),))


def graded(*sources, problems=("right",), **options):
    submission = Submission(tuple(Cell("code", "import torch\n" + source) for source in sources), "0" * 64)
    return grade(submission, [twice(name) for name in problems], secret=b"", assignment="a", student="s",
                 **{"limits": LIMITS, **options})


RIGHT = "def right(x):\n    return 2 * x"

# Functions: each is a problem of its own, and the right one is tried after each. The words are those of the row;
# without words the function finds out by itself that it is contained, and is right only then.
BOMBS = {
    "endless": ("interrupted", """
        while True: pass"""),
    "endless_deaf_to_all": ("kernel was killed", """
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            try:
                while True: pass
            except BaseException: pass"""),
    "memory": ("raised MemoryError", """
        hoard = []
        while True: hoard.append(bytes(2**26))"""),
    "memory_of_torch": ("raised MemoryError", """
        return torch.ones(2**40)"""),
    "memory_in_many_processes": ("used too much memory", """
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                hoard = b"x" * 2**28
                time.sleep(60)
        time.sleep(60)"""),
    "memory_of_no_process": ("", """
        import ctypes, os
        def refused(act):
            try:
                act()
            except OSError:
                return True
        libc = ctypes.CDLL(None, use_errno=True)
        calls = {"x86_64": (319, 447, 29, 64, 68, 425, 2**30 + 319), "aarch64": (279, 447, 194, 190, 186, 425)}
        numbers = calls[os.uname().machine]
        inside = refused(lambda: os.memfd_create("x")) and all(
            libc.syscall(n, b"x", 0, 0) == -1 and ctypes.get_errno() == 1 for n in numbers)
        return 2 * x if inside else x"""),
    "forks": ("", """
        import os, time
        children = []
        try:
            while len(children) < 1000:
                child = os.fork()
                if not child:
                    time.sleep(60)
                    os._exit(0)
                children.append(child)
        except BlockingIOError:
            return 2 * x"""),
    "disk": ("", """
        full = 0
        for folder in ("/tmp", "/home/student", "/dev/shm"):
            try:
                for n in range(100):
                    with open(f"{folder}/{n}", "wb") as file:
                        for _ in range(16): file.write(bytes(2**20))
            except OSError:
                full += 1
        return 2 * x if full == 3 else x"""),
    "output": ("", """
        import os
        for _ in range(30): print("x" * 10**6)
        for _ in range(30): os.write(2, b"x" * 10**6)
        return 2 * x"""),
    "a_huge_answer": ("sent back too much", """
        return torch.zeros(10**7)"""),
    "sockets": ("", """
        import socket
        def opens(family, address):
            try:
                socket.socket(family).connect(address)
                return True
            except OSError:
                return False
        names = [("127.0.0.1", port) for port in (22, 80, 8888)] + [("10.0.0.1", 53), ("1.1.1.1", 443)]
        unix = ["/run/dbus/system_bus_socket", "/var/run/docker.sock", chr(0) + "/tmp/.X11-unix/X0"]
        opened = [opens(socket.AF_INET, n) for n in names] + [opens(socket.AF_UNIX, n) for n in unix]
        return x if any(opened) else 2 * x"""),
    "writes_outside": ("", """
        import os, sys, torch
        places = ["/x", "/etc/x", "/usr/x", "/dev/x", "/run/posebook/x", "/proc/sys/kernel/core_pattern",
                  sys.prefix + "/x", os.path.dirname(torch.__file__) + "/__init__.py", sys.executable]
        for place in places:
            try:
                open(place, "a")
                return x
            except OSError:
                pass
        return 2 * x"""),
    "rights": ("", """
        import os
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        if any(int(status[n], 16) for n in ("CapEff", "CapPrm", "CapBnd", "CapAmb")) or os.getuid() == 0:
            return x
        for act in (lambda: os.setuid(0), lambda: os.mknod("/tmp/d", 0o60666, 0x0801), lambda: os.chroot("/tmp")):
            try:
                act()
                return x
            except OSError:
                pass
        return 2 * x"""),
    "kills_the_parent": ("", """
        import os, signal
        for pid in (os.getppid(), 1, -1):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        return 2 * x"""),
    "stops_itself": ("kernel was killed", """
        import os, signal
        os.kill(os.getpid(), signal.SIGSTOP)"""),
    "exits": ("ended the kernel", """
        import os
        os._exit(0)"""),
    "crashes": ("ended the kernel", """
        import ctypes
        ctypes.string_at(0)"""),
}


ENDLESS = ("endless", "endless_deaf_to_all", "stops_itself")  # all others end by themselves, on a busy machine late
SAME = (*ENDLESS, "a_huge_answer", "crashes")  # whoever runs it
TRIED = [(user, bomb) for user in USERS for bomb in BOMBS if user == USERS[0] or bomb not in SAME]
TRIED += [("cold", bomb) for bomb in ("endless", "memory_in_many_processes", "forks", "rights", "kills_the_parent")]


def contain(user: str) -> list[Result]:
    results = []
    before = trial.SECONDS, kernel.GRACE
    try:
        for patient, times in ((False, (2, 2)), (True, (60, 5))):
            bombs = [bomb for who, bomb in TRIED if who == user and patient is (bomb not in ENDLESS)]
            if not bombs:
                continue
            trial.SECONDS, kernel.GRACE = times
            sources = [f"def {bomb}(x):{BOMBS[bomb][1]}" for bomb in bombs]
            problems = [name for bomb in bombs for name in (bomb, "right")]
            results.append(graded(*sources, RIGHT, problems=problems, cold=user == "cold"))
    finally:
        trial.SECONDS, kernel.GRACE = before
    assert kernel.server(), "there is no fork server"
    return results


@cache
def contained(user: str) -> list[Result]:
    if user == "ordinary" and os.geteuid() == 0:
        code = ("import sys; sys.path.insert(0, 'tests'); import test_sandbox; "
                "print([result.to_json() for result in test_sandbox.contain('ordinary')])")
        done = subprocess.run([*ordinary_user(), sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return [Result.from_json(text) for text in ast.literal_eval(done.stdout)]
    before = psutil.Process().memory_info().rss
    results = contain(user)
    assert psutil.Process().memory_info().rss - before < 200 * 2**20
    return results


def ordinary_user() -> list[str]:
    """A command before another one: run it as a user without rights who can read Python and this checkout."""
    options = []
    for path in map(Path, (sys.base_prefix, sys.prefix, ROOT)):
        closed = next((up for up in reversed(path.parents) if not up.stat().st_mode & 1), None)
        if closed:
            options += [] if str(closed) in options else ["--perms", "0755", "--tmpfs", str(closed)]
            between = [up for up in reversed(path.parents) if closed in up.parents]
            options += [option for up in between for option in ("--perms", "0755", "--dir", str(up))]
            options += ["--ro-bind", str(path), str(path)]
    return ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", *options, "--", "setpriv", "--reuid=4321",
            "--regid=4321", "--clear-groups", "env", f"PYTHONPATH={ROOT}", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp",
            "SECOND_USER=1"]


second_user = pytest.mark.skipif(USERS[0] != "root" or "SECOND_USER" in os.environ,
                                 reason="the tests above run as an ordinary user")


def pass_as_ordinary_user(path: str, chosen: str = "") -> None:
    """Run the tests of a file anew, those that are chosen as by ``-k``."""
    tests = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", chosen, path]
    done = subprocess.run([*ordinary_user(), *tests], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    if " passed" not in (said := done.stdout.splitlines())[-1]:
        pytest.skip("as an ordinary user: " + "; ".join(said[-2:]))


@pytest.mark.parametrize("user, bomb", TRIED)
def test_a_bomb_fails_alone(user, bomb):
    reports = [report for result in contained(user) for report in result.reports]
    place = [report.name for report in reports].index(bomb)
    words = BOMBS[bomb][0]
    row = reports[place].rows[0]
    assert row.passed is (not words) and words in row.message, str(reports[place])
    assert reports[place + 1].passed, "the next one paid for it: " + str(reports[place + 1])


@pytest.mark.parametrize("user", USERS)
def test_the_worst_is_the_status(user):
    statuses = [(result.status, result.sandbox) for result in contained(user)]
    assert statuses == [("timeout", "bubblewrap"), ("killed", "bubblewrap")][-len(statuses):]


def test_what_grows_while_each_call_returns_at_once_is_seen():
    grows = """
import os, time
def grows(x):
    if os.fork() == 0:
        hoard = b"x" * 2**26
        time.sleep(60)
    return x"""
    with Session([(1, grows)], withheld=(), limits=LIMITS) as session, pytest.raises(kernel.Lost) as lost:
        session.ready()
        for _ in range(LIMITS.processes):
            session.ask(("call", "grows", 600.0, (torch.zeros(1),)), 700)
            time.sleep(0.05)
    assert lost.value.status == "memory"


def test_without_a_sandbox_the_machine_s_own_files_and_sockets_do_not_count(tmp_path, monkeypatch):
    sandbox.strip(tmp_path / "course", ())
    unsafe = kernel.Kernel(tmp_path / "course", LIMITS, unsafe=True)
    try:
        monkeypatch.setattr(kernel, "_files", lambda main: 10**9)
        monkeypatch.setattr(kernel, "_sockets", lambda main: 10**9)
        assert 0 < unsafe.memory() < LIMITS.memory
        code = "import tempfile\ndef where(): return tempfile.gettempdir()"
        assert unsafe.ask(("run", code, 60.0), 600)[0] == "ok"
        folder = unsafe.ask(("call", "where", 60.0, ()), 600)[1]
        assert Path(folder).parent == tmp_path / "course"  # goes with the session's folder
    finally:
        unsafe.close()


def test_bad_cells_are_left_out_and_the_others_run(monkeypatch):
    monkeypatch.setattr(kernel, "GRACE", 2)
    result = graded(
        "def right(x):\n    return two * x\nwhile True: pass",  # what was defined before it was interrupted counts
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "import os\nos._exit(0)\ndef left(x): return x", "def broken(:", "import nonesuch", "hoard = bytes(2**40)",
        "two = 2",
        problems=["right", "left"],
    )
    assert result.reports[1].rows[0].message == "there is no function `left`: cell 3 ended the kernel"
    assert result.reports[0].passed and result.status == "killed"
    assert result.notes[:3] == (
        "cell 1 did not end within 3 s", "cell 2 did not end in time, and the kernel was killed",
        "cell 3 ended the kernel")
    assert [note.split(":")[0] for note in result.notes[3:]] == [
        "cell 4 raised SyntaxError", "cell 5", "cell 6 raised MemoryError"]
    assert result.notes[4] == "cell 5: No module named 'nonesuch': what needs it was left out"


def test_a_busy_machine_takes_no_points(monkeypatch):
    """Three others at work on the one processor: what takes a second there takes four by the clock on the wall."""
    monkeypatch.setattr(trial, "SECONDS", 2)
    burn = "import time\ndef burn():\n    end = time.process_time() + 1\n    while time.process_time() < end: pass"
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    others = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(3)]
    try:
        result = graded(burn, "burn()", "def right(x):\n    burn()\n    return 2 * x", limits=Limits(cell=2))
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.wait()
    assert result.status == "ok" and result.reports[0].passed and result.notes == (), str(result)


def test_the_whole_time_is_bounded():
    result = graded("import time", *["time.sleep(60)"] * 9, RIGHT, limits=Limits(cell=60, total=8))
    assert result.status == "timeout" and result.seconds < 200 and result.reports[0].score == 0


# ---------------------------------------------------------------------------------------------------------------------
# Where there is no sandbox, or no kernel


def test_without_bubblewrap_it_refuses_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(sandbox.SandboxError, match="apt install bubblewrap"):
        sandbox.probe.__wrapped__()


def test_without_a_sandbox_every_result_says_so(monkeypatch):
    monkeypatch.setattr(sandbox, "command", lambda *args, **options: pytest.fail("asked for a sandbox"))
    result = graded(RIGHT, unsafe=True)
    assert (result.status, result.sandbox, result.reports[0].score) == ("unsafe", "none", 1)
    assert Result.from_json(result.to_json()) == result


def test_the_probe_finds_a_sandbox_that_does_not_contain(monkeypatch):
    monkeypatch.setattr(sandbox, "command", lambda argv, **options: argv)
    monkeypatch.setattr(sandbox, "PROBE", sandbox.PROBE.replace('"/x", "/usr/x", "/dev/x"', ""))
    with pytest.raises(sandbox.SandboxError) as caught:
        sandbox.probe.__wrapped__()
    for words in ("hides files", "lets nothing be written", "has no network", "has no rights", "bounds memory",
                  "limits processes"):
        assert words in str(caught.value)


@pytest.mark.parametrize("said, words, remedy", [
    ("bwrap: No permissions to create a new namespace", "cannot make a sandbox here: bwrap: No", "seccomp.*AppArmor"),
    ("bwrap: setting up uid map: Permission denied", "cannot make a sandbox here: bwrap: set", "seccomp.*AppArmor"),
    ("prlimit: failed to execute /x/bin/python: Permission denied", "Python does not start .* Permission denied",
     f"chmod -R a\\+rX '{sys.prefix}'" if os.geteuid() == 0 else "denied"),
    ("a warning\nprlimit: failed to execute /x: No such file", "Python does not start .*: prlimit.* such file$", ""),
])
def test_the_probe_says_what_is_wrong_and_names_no_wrong_remedy(monkeypatch, said, words, remedy):
    monkeypatch.setattr(sandbox, "command", lambda argv, **options: ["sh", "-c", 'echo "$0" >&2; exit 1', said])
    with pytest.raises(sandbox.SandboxError, match=words) as caught:
        sandbox.probe.__wrapped__()
    assert re.search(remedy, str(caught.value))


def test_a_kernel_that_cannot_import_what_it_needs_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "_failed", [])
    (tmp_path / "posebook").mkdir()
    tmp_path.chmod(0o755)
    monkeypatch.setattr(sandbox, "stripped", lambda withheld: tmp_path)
    with pytest.raises(sandbox.SandboxError, match="does not start in the sandbox: ModuleNotFoundError: .*grading"):
        graded(RIGHT)


def test_a_kernel_that_never_starts_is_no_fault_of_the_student(monkeypatch):
    def fail(*args, **options):
        raise kernel.NotStarted("killed", "")

    monkeypatch.setattr(kernel, "Kernel", fail)
    monkeypatch.setattr(kernel, "_failed", [])
    with pytest.raises(sandbox.SandboxError, match="no kernel starts"):
        graded(RIGHT)


def test_a_failure_that_does_not_come_again_costs_nothing_and_nothing_stays(tmp_path, monkeypatch):
    """The first kernel does not start and the second dies: the machine may have run out of memory through others."""
    kernel.server()  # so that its own first fork is none of those
    real, starts, asked = kernel.Kernel, [], []

    class Flaky(real):
        def __init__(self, *args, **options):
            starts.append(1)
            if len(starts) == 1:
                raise kernel.NotStarted("killed", "")
            super().__init__(*args, **options)

        def ask(self, request, seconds):
            asked.append(request[0])
            if asked.count("call") == 1 and request[0] == "call":
                inside = psutil.Process(self.process.pid).children(recursive=True)
                self.process.kill()
                psutil.wait_procs(inside)
            return super().ask(request, seconds)

    monkeypatch.setattr(kernel, "Kernel", Flaky)
    monkeypatch.setattr(kernel, "_failed", [])
    monkeypatch.setattr(kernel.tempfile, "tempdir", str(tmp_path))
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    result = graded("import subprocess\nsubprocess.Popen(['sleep', '1000'])", RIGHT)
    assert result.status == "ok" and result.reports[0].passed
    assert asked == ["run", "run", "call", "run", "run", "call"] and len(starts) == 3
    left = {process.pid for process in psutil.Process().children(recursive=True)} - before
    assert not left and list(tmp_path.iterdir()) == []
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "1000"]]


# ---------------------------------------------------------------------------------------------------------------------
# What it shows


def test_the_copy_of_posebook_lacks_what_is_asked_for(tmp_path):
    own = withheld(PROBLEMS.values())
    sandbox.strip(tmp_path, own)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py"))
    assert [path for path in left if "checks" in path or "grading" in path] == [
        "posebook/checks/__init__.py", "posebook/checks/calling.py", "posebook/grading/__init__.py",
        "posebook/grading/guest.py", "posebook/grading/wire.py"]
    code = f"""
import pkgutil, posebook.encode
for name in {own!r}:
    try:
        function = pkgutil.resolve_name(name)
        function = getattr(function, "__func__", function)  # a class method's
        code = function.__code__
        named = code.co_varnames[code.co_argcount:][:code.co_kwonlyargcount]
        function(*[0] * code.co_argcount, **dict.fromkeys(named, 0))
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    words = "answers a problem of this set: write your own lines"
    assert done.stdout.splitlines() == [f"Withheld `{name}` {words}" for name in own], done.stderr


# Where it lies: in each of these there is a clone of the course with its .venv, beside it the Python of that, and of
# the true ones no trace.
PLACES = [
    "/tmp/clone", "/var/tmp/clone", "/home/someone/clone", "/home/student", "/home/student/clone", "/opt/clone",
    "/root/clone", "/dev/shm/clone", "/run/clone", "/course", "/usr/src/app", "/srv/a \"b\" 'c' $d {e} [f]/ñ 日本",
]
MOVED = [(user, place) for user in USERS for place in (PLACES if user == USERS[0] else ("/tmp/clone", "/home/student"))]
TEMPORARY = ("/tmp", "/dev/shm", "/usr", "/usr/src")  # are there
SITE = Path(torch.__file__).parents[1]
SHARED = os.path.join(*(sysconfig.get_config_var(name) or "" for name in ("LIBDIR", "INSTSONAME")))
LIBRARY = {SHARED: SHARED} if os.path.isfile(SHARED) and not SHARED.startswith("/usr/") else {}  # this Python's own
TRY = """
import json, os, subprocess, sys
import numpy
from posebook.grading import sandbox
sandbox.probe()
look = "import numpy, os, sys; print(numpy.__file__, *filter(os.path.exists, sys.argv[1:]), sep=chr(10)); "
look += "open(sys.prefix + '/x', 'w')"
clone = str(sandbox.PACKAGE.parent)
hidden = [os.path.join(clone, name) for name in ("solutions", "tests", "posebook")]
hidden += [os.path.join(path, "posebook") for path in sys.path]
argv = sandbox.command([sys.executable, "-c", look, *hidden])
done = subprocess.run(argv, capture_output=True, text=True)
assert done.stdout.splitlines() == [numpy.__file__] and "Error: [Errno" in done.stderr, done
assert not os.path.exists(sys.argv[1])
"""


def elsewhere(binds: dict, links: dict, *command: str, user: str = USERS[0], **variables: str) -> None:
    """Run a command where nothing but the system is where it was."""
    options = ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", "--tmpfs", "/dev/shm", "--perms", "1777",
               "--tmpfs", "/tmp"]
    for folder in map(Path, ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        kind = ["--symlink", os.readlink(folder)] if folder.is_symlink() else ["--ro-bind-try", str(folder)]
        options += [*kind, str(folder)]
    options += ["--tmpfs", "/usr/src"]
    for place, source in (LIBRARY | binds).items():
        parents = [str(up) for up in reversed(Path(place).parents) if up.name and up not in map(Path, TEMPORARY)]
        options += [option for up in parents for option in ("--perms", "0755", "--dir", up)]
        options += ["--ro-bind", str(source), place]
    for link, target in links.items():
        options += ["--symlink", target, link]
    if user == "ordinary" and os.geteuid() == 0:
        command = ("setpriv", "--reuid=4321", "--regid=4321", "--clear-groups", *command)
    settings = [f"{name}={value}" for name, value in variables.items()]
    command = ("env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", *settings, *command, str(ROOT))
    done = subprocess.run(["bwrap", *options, "--chdir", "/", "--", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def environment(folder: Path, home: str, python: str) -> dict[str, Path]:
    """What makes a .venv of another Python: the files within it that name one."""
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(python)
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    for path in (folder, folder / "bin"):
        path.chmod(0o755)
    return {"bin": folder / "bin", "pyvenv.cfg": folder / "pyvenv.cfg"}


PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("user, clone", MOVED)
def test_wherever_the_course_and_python_lie(tmp_path, user, clone):
    python = clone + "-python"
    own = environment(tmp_path / "venv", f"{python}/bin", f"{python}/bin/{PYTHON}")
    binds = {clone: ROOT, python: sys.base_prefix, **{f"{clone}/.venv/{name}": path for name, path in own.items()}}
    elsewhere(binds, {}, f"{clone}/.venv/bin/python", "-c", TRY, user=user, PYTHONPATH=clone)


def test_behind_links(tmp_path):
    """Each of them, the second of two within the first, and relative ones."""
    own = environment(tmp_path / "venv", "/opt/python/bin", f"/opt/python/bin/{PYTHON}")
    binds = {"/data/clone": ROOT, "/data/python-1": sys.base_prefix, "/data/lib": SITE.parents[1],
             "/data/venv/bin": own["bin"], "/data/venv/pyvenv.cfg": own["pyvenv.cfg"]}
    links = {"/opt/python": "../data/python", "/data/python": "python-1", "/data/venv/lib": "../lib",
             "/tmp/course": "/home/student/course", "/home/student/course": "../../data"}
    elsewhere(binds, links, "/tmp/course/venv/bin/python", "-c", TRY, PYTHONPATH="/tmp/course/clone")


def test_one_folder_for_python_and_its_packages_as_with_conda():
    binds = {"/opt/conda": sys.base_prefix, f"/opt/conda/lib/{PYTHON}/site-packages": SITE, "/opt/clone": ROOT}
    elsewhere(binds, {}, f"/opt/conda/bin/{PYTHON}", "-c", TRY, PYTHONPATH="/opt/clone")


@pytest.mark.parametrize("packages, variables", [
    ("/opt/packages", {"PYTHONPATH": "/opt/clone:/opt/packages"}),
    (f"/root/.local/lib/{PYTHON}/site-packages", {"PYTHONPATH": "/opt/clone", "HOME": "/root"}),
])
def test_the_system_s_python(packages, variables):
    if not os.path.exists(f"/usr/bin/{PYTHON}"):
        pytest.skip(f"the system has no {PYTHON}")
    elsewhere({packages: SITE, "/opt/clone": ROOT}, {}, f"/usr/bin/{PYTHON}", "-c", TRY, **variables)


def test_a_folder_of_the_grader_s_that_is_no_part_of_python_is_not_shown(tmp_path, monkeypatch):
    """Python may be installed into somebody's home."""
    for part in ("bin", "lib"):
        (tmp_path / part).mkdir()
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    options = sandbox.command(["x"])
    assert str(tmp_path / "bin") in options and options.count(str(tmp_path)) == 1  # made, not bound
    assert options[options.index(str(tmp_path)) - 1] == "--dir"


def test_what_is_installed_inside_the_shown_folders_is_hidden(tmp_path, monkeypatch):
    copies = [tmp_path / "lib/python3.11/site-packages/posebook",
              tmp_path / "local/lib/python3.12/dist-packages/posebook"]
    for copy in copies:
        copy.mkdir(parents=True)
    here = tmp_path / "course"
    here.mkdir()
    monkeypatch.chdir(here)
    assert sandbox._hidden([tmp_path]) >= {*copies, here}
    assert sandbox._hidden([Path("/nonesuch")]) == set()


def test_any_client_of_jupyter_can_use_the_sandbox(monkeypatch):
    group = "jupyter_client.kernel_provisioners"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][group]
    entry = EntryPoint("posebook-sandbox", declared["posebook-sandbox"], group)
    monkeypatch.setitem(KernelProvisionerFactory.instance().provisioners, entry.name, entry)
    manager = KernelManager()
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=argv, interrupt_mode="message", metadata={
        "kernel_provisioner": {"provisioner_name": "posebook-sandbox"}})
    manager.start_kernel()
    shared = manager.provisioner._shared
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=600)
        code = """import socket
try: socket.create_connection(("127.0.0.1", 80), 1)
except OSError as e: print(e.errno)"""
        lines = []
        client.execute_interactive(code, timeout=600, output_hook=lambda m: lines.append(m["content"].get("text")))
        assert "".join(filter(None, lines)).strip() in ("101", "111")  # unreachable, or refused
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert shared and not shared.exists()
