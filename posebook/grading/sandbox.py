"""The sandbox: what an untrusted kernel may see, use and reach. bubblewrap makes it, `prlimit` adds limits.

As root there is no user namespace (limits on processes would not hold in it) but a user id of its own for each
sandbox; as an ordinary user there is one, since without it bubblewrap may not mount.
"""

import ast
import atexit
import compileall
import functools
import importlib.metadata
import json
import os
import platform
import py_compile
import re
import secrets
import shutil
import site
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from jupyter_client.provisioning import LocalProvisioner
from traitlets import Unicode

NEEDS = ("torch", "numpy", "ipykernel")  # what a kernel in here imports
PACKAGE = Path(__file__).resolve().parents[1]  # posebook, with all its answers
NEEDED = "grading runs untrusted code and needs bubblewrap on Linux: apt install bubblewrap (elsewhere: WSL or a VM)"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts",
          "/etc/localtime")
WRITABLE = ("/tmp", "/home/student", "/dev/shm")
COURSE = "/run/posebook"  # where nobody keeps a Python
SHOWN = ("checks/calling.py", "grading/__init__.py", "grading/guest.py", "grading/wire.py")  # of checks and grading
STAND_IN = '''"""Stands for ``posebook.checks`` in the sandbox: the grader tries the answers itself."""


def check(name, answer):
    """Does nothing here."""
'''


class SandboxError(RuntimeError):
    """No sandbox that contains anything can be had here; the text says what to install or change."""


class MachineFull(SandboxError):
    """The machine ran out of memory, while the submission itself kept to its limit."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell: float = 60.0  # seconds for one cell
    total: float = 600.0  # seconds for the whole submission
    memory: int = 4 * 2**30  # bytes of address space a process, and of memory in use by all of them
    disk: int = 64 * 2**20  # bytes in each folder that can be written to, and in a file
    processes: int = 128  # with their threads


# ---------------------------------------------------------------------------------------------------------------------
# What it shows


@functools.cache
def stripped(withheld: tuple[str, ...]) -> Path:
    """Such a copy as :func:`strip` makes, once a process: the sandbox can only read it."""
    folder = tempfile.mkdtemp(prefix="posebook-course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    strip(Path(folder), withheld)
    return Path(folder)


def strip(target: Path, withheld: Iterable[str]) -> None:
    """A copy of posebook for students' code to import: without references, cases and the functions asked for.

    It paints no pictures, since nobody would see them, and is compiled, since each submission imports it anew.
    """
    def hide(folder: str, names: list[str]) -> list[str]:
        paths = [Path(folder, name).relative_to(PACKAGE).as_posix() for name in names]
        closed = [path for path in paths if path.startswith(("checks/", "grading/")) and path not in SHOWN]
        return ["__pycache__", *(Path(path).name for path in closed)]

    shutil.copytree(PACKAGE, target / "posebook", ignore=hide)
    (target / "posebook/checks/__init__.py").write_text(STAND_IN)
    for name in withheld:
        function = resolve_name(name)  # its module may be another one, from which a package takes the name
        source = Path(sys.modules[function.__module__].__file__).resolve()
        path = target / source.relative_to(PACKAGE.parent)
        words = f"from posebook.checks.calling import Withheld\nraise Withheld({name!r})"
        path.write_text(_with_body(path.read_text(), function.__qualname__.split("."), words))
    painter = target / "posebook/draw.py"
    painter.write_text(_with_body(painter.read_text(), ["png"], "return b''"))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(target, quiet=2, stripdir=target, prependdir=COURSE, invalidation_mode=mode)
    for path in (target, *target.rglob("*")):  # another user reads them
        path.chmod(0o755 if path.is_dir() else 0o644)


def _with_body(source: str, path: list[str], lines: str) -> str:
    """The source with these lines instead of those of one function (or method, by its path)."""
    tree = body = ast.parse(source)
    for part in path:
        body = next(node for node in body.body if getattr(node, "name", "") == part)
    body.body = [*body.body[:ast.get_docstring(body) is not None], *ast.parse(lines).body]
    return ast.unparse(tree)


def _mounts(limits: Limits, own: dict[Path, list[str]]) -> list[str]:
    """Options that show the system and Python, read-only, and hide every copy of posebook in there.

    ``own`` says what else to mount, and where. What lies within something else is mounted after it: Python may be below
    /tmp or /home/student, a checkout below /usr, and a virtual environment in that checkout.
    """
    links, shown = _reached((*SYSTEM, *_python(), *_packages()))
    hidden = _hidden(shown) - shown
    places = own | {Path("/proc"): ["--proc"], Path("/dev"): ["--dev"]}
    places |= {Path(path): ["--perms", "1777", "--size", str(limits.disk), "--tmpfs"] for path in WRITABLE}
    places |= {path: ["--perms", "0755", "--tmpfs"] for path in hidden}
    places |= {link: ["--symlink", target] for link, target in links.items()}
    places |= {path: ["--ro-bind", str(path)] for path in shown}
    between = {up for path in places for up in path.parents if up.name}
    sealed = {up for up in between - set(places) if str(up.parent) in WRITABLE}  # nothing is added beside what is shown
    places = {up: ["--perms", "0755", "--tmpfs" if up in sealed else "--dir"] for up in between} | places
    options: list[str] = []
    in_sight: dict[Path, bool] = {}
    for path in sorted(places):
        above = next((in_sight[up] for up in path.parents if up in in_sight), False)
        if path in own or above is (path in hidden):
            options += [*places[path], str(path)]
            in_sight[path] = path in shown
    closed = [path for path in in_sight if path in hidden | sealed] + [Path("/dev"), Path("/")]
    return options + [option for path in closed for option in ("--remount-ro", str(path))]


def _python() -> Iterator[str]:
    """What Python needs of the folders that it is installed in: one of them may be somebody's home."""
    yield sys.executable
    library = [sysconfig.get_config_var(name) for name in ("LIBDIR", "INSTSONAME")]
    if all(library):
        yield os.path.join(*library)
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        yield from (os.path.join(prefix, part) for part in ("pyvenv.cfg", "bin", "include", "lib", "lib32", "lib64"))


def _packages() -> list[str]:
    """The folders that packages are imported from."""
    return [path for path in sys.path
            if path and any(os.path.isfile(os.path.join(path, name, "__init__.py")) for name in NEEDS)]


def _reached(paths: Iterable[str]) -> tuple[dict[Path, str], set[Path]]:
    """The links on the way to these paths, each with what it says, and the places where the paths truly are."""
    links: dict[Path, str] = {}
    places = set()
    for path in filter(os.path.exists, paths):
        place, parts = Path("/"), list(reversed(Path(path).absolute().parts[1:]))
        while parts:
            part = parts.pop()
            if part == "..":
                place = place.parent
            elif (place / part).is_symlink():
                links[place / part] = target = os.readlink(place / part)
                place = Path("/") if target.startswith("/") else place
                parts += reversed([name for name in Path(target).parts if name != "/"])
            else:
                place /= part
        places.add(place)
    return links, places


def _hidden(shown: Iterable[Path]) -> set[Path]:
    """Folders within those shown that must not be seen: installed posebooks, a checkout, the grader's own."""
    found = {copy.resolve() for path in shown for above in ("", "python3*/*-packages/", "lib/python3*/*-packages/",
                                                            "local/lib/python3*/*-packages/")
             for copy in path.glob(f"{above}posebook")}
    installed = str(PACKAGE.parent) in map(os.path.realpath, _packages())
    found |= {PACKAGE if installed else PACKAGE.parent, Path.cwd()}
    return {path for path in found if path.is_dir() and any(up in shown for up in path.parents)}


# ---------------------------------------------------------------------------------------------------------------------
# The command


def command(argv: list[str] | None, *, course: Path | None = None, limits: Limits | None = None,
            shared: Path | None = None, user: int | None = None) -> list[str]:
    """The command that runs another one in the sandbox.

    Args:
        argv: the command, as it is called inside. None: the sandbox's first process writes a line and waits there for
            a fork of the fork server, and for all that are left alone, until its standard input is closed: bubblewrap
            may not end it, where root gave it a user id of its own.
        course: folder with what Python is to import there besides its own packages, see :func:`strip`.
        limits: what it may use.
        shared: a folder that it may write to, for sockets between inside and outside.
        user: whom it runs as where root starts it; a fresh one without.

    Raises:
        SandboxError: there is no bubblewrap.
    """
    bwrap = shutil.which("bwrap")
    if not bwrap or not sys.platform.startswith("linux"):
        raise SandboxError(NEEDED)
    limits = limits or Limits()
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
               "--die-with-parent", "--new-session", "--clearenv", *([] if argv else ["--as-pid-1"])]
    own = {Path(COURSE): ["--ro-bind", str(course)]} if course else {}
    own |= {shared: ["--bind", str(shared)]} if shared else {}
    options += [*_mounts(limits, own), "--chdir", "/home/student"]
    for name, value in environment().items():
        options += ["--setenv", name, value]
    inside = [*_limited(limits), *_filtered(), *(argv or ())]
    if os.geteuid() != 0:
        return [bwrap, *options, "--unshare-user", "--disable-userns", "--", *inside]
    drop = ["--cap-drop", "ALL", *(f for cap in ("SETUID", "SETGID", "SETPCAP") for f in ("--cap-add", f"CAP_{cap}"))]
    owner = shared.stat().st_uid if shared else user or fresh_user()
    become = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--no-new-privs",
              "--bounding-set=-all", "--inh-caps=-all", "--pdeathsig=keep"]
    return [bwrap, *options, *drop, "--", *become, *inside]


def environment(home: str = "/home/student", course: str = COURSE) -> dict[str, str]:
    """All the variables there are: nothing of the grader's environment goes inside."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    named = map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = os.pathsep.join([course, *(path for path in named if path in _packages())])
    users = {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": home, "USER": "student", "LANG": "C.UTF-8",
            "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2",
            **threads, **users}


def _limited(limits: Limits) -> list[str]:
    """Inside, since there the processes of a sandbox are counted apart from those of the grader."""
    return ["prlimit", *(f"--{name}={value}:{value}" for name, value in resources(limits).items()), "--"]


def resources(limits: Limits) -> dict[str, int]:
    """What the system itself limits for each process."""
    return {"as": limits.memory, "cpu": round(limits.total), "fsize": limits.disk, "nofile": 512,
            "nproc": limits.processes, "core": 0}


# Memory that lasts without belonging to any process could be neither counted nor limited. So the calls that make it are
# refused, by a filter that the command's processes cannot take off: memfd_create, memfd_secret, shmget, semget, msgget
# and io_uring_setup, and every call of another architecture (x32 is one).
CALLS = {"x86_64": (0xC000003E, (319, 447, 29, 64, 68, 425)), "aarch64": (0xC00000B7, (279, 447, 194, 190, 186, 425))}
_FILTER = """
import ctypes, os, select, signal, struct, sys
code = bytes.fromhex(sys.argv[1])
program = struct.pack("HP", len(code) // 8, ctypes.addressof(held := ctypes.create_string_buffer(code)))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
if libc.prctl(22, 2, program, 0, 0):
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
if sys.argv[2:]:
    os.execvp(sys.argv[2], sys.argv[2:])
libc.prctl(4, 0, 0, 0, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
print(flush=True)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
os.dup2(1, 2)
grader = select.poll()
grader.register(0, 0)  # standard input, whose other end the grader holds: it closes when that is killed
while not grader.poll(10):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""


def refused() -> bytes:
    """A filter that refuses the system calls above; on a processor that is not known it refuses none, and the probe
    finds that.
    """
    load, equal, above, end = 0x20, 0x15, 0x35, 0x06
    allow = struct.pack("HBBI", end, 0, 0, 0x7FFF0000)
    if platform.machine() not in CALLS:
        return allow
    arch, calls = CALLS[platform.machine()]
    tests = [(load, 0, 0, 4), (equal, 0, len(calls) + 3, arch), (load, 0, 0, 0), (above, len(calls) + 1, 0, 2**30)]
    tests += [(equal, len(calls) - n, 0, call) for n, call in enumerate(calls)]
    return b"".join(struct.pack("HBBI", *test) for test in tests) + allow + struct.pack("HBBI", end, 0, 0, 0x50001)


def _filtered() -> list[str]:
    return [sys.executable, "-I", "-S", "-c", _FILTER, refused().hex()]


def fresh_user() -> int:
    """A user id that no account and no other sandbox has, so that limits on processes are counted for it alone."""
    return 2**30 + secrets.randbelow(2**30)


# ---------------------------------------------------------------------------------------------------------------------
# A kernel in it


class Provisioner(LocalProvisioner):
    """Starts kernels in the sandbox, wherever a kernelspec's metadata says
    ``{"kernel_provisioner": {"provisioner_name": "posebook-sandbox"}}``; it needs ``"interrupt_mode": "message"``.
    """

    course = Unicode(help="folder with what Python is to import in the sandbox").tag(config=True)
    limits = Limits()
    _shared: Path | None = None

    async def pre_launch(self, **kwargs):
        """Put the sandbox around the kernel's command; sockets are files in a folder that both sides see."""
        if self.parent is not None:  # a manager whose clients will connect
            self._shared = Path(tempfile.mkdtemp(prefix="posebook-kernel-"))
            self.parent.transport, self.parent.ip = "ipc", str(self._shared / "kernel")
            self.parent.connection_file = str(self._shared / "kernel.json")
        kwargs = await super().pre_launch(**kwargs)
        if self._shared and os.geteuid() == 0:
            user = fresh_user()
            for path in (self._shared, *self._shared.iterdir()):
                os.chown(path, user, user)
        course = Path(self.course) if self.course else None
        kwargs["cmd"] = command(kwargs["cmd"], course=course, limits=self.limits, shared=self._shared)
        return kwargs

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the sockets' folder."""
        await super().cleanup(restart=restart)
        if self._shared:
            shutil.rmtree(self._shared, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------------------------
# Does it contain?

PROBED = Limits(processes=64)
PROBE = """
import json, os, socket, sys, time
def refused(action):
    try:
        action()
    except OSError:
        return True
    return False
def probe(marker, target, port, course):
    held = {}
    held["hides files"] = refused(lambda: open(marker).read()) and not os.path.exists(course)
    held["lets nothing be written"] = all(refused(lambda p=p: open(p, "w")) for p in (target, "/x", "/usr/x", "/dev/x"))
    held["has no network"] = refused(lambda: socket.create_connection(("127.0.0.1", int(port)), 2))
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    held["has no rights"] = int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 == int(status["NoNewPrivs"]) - 1
    held["hides processes"] = all(int(name) < 100 for name in os.listdir("/proc") if name.isdigit())
    children = []
    def fork():
        for _ in range(200):
            child = os.fork()
            if not child:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    held["bounds memory"] = refused(lambda: os.memfd_create("x"))
    held["limits processes"] = refused(fork)
    for child in children:
        os.kill(child, 9)
    return json.dumps(held)
"""


@functools.cache
def probe() -> None:
    """Make sure, once a process, that the sandbox contains.

    Raises:
        SandboxError: it does not, or bubblewrap is missing.
    """
    def cold(arguments: list[str]) -> str:
        code = PROBE + "print(probe(*sys.argv[1:]))"
        argv = command([sys.executable, "-I", "-c", code, *arguments], limits=PROBED)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        if not done.stdout:
            raise SandboxError(reason(done.stderr.strip() or f"it ended with status {done.returncode}"))
        return done.stdout

    examine(cold)


def examine(run: Callable[[list[str]], object]) -> None:
    """Raises SandboxError where what ``run`` calls the function of PROBE in does not contain it."""
    with tempfile.TemporaryDirectory(prefix="posebook-probe-") as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        marker = Path(folder, "marker")
        marker.write_text("outside")
        said = run([str(marker), str(Path(folder, "target")), str(listener.getsockname()[1]), str(PACKAGE / "checks")])
    failed = [words for words, holds in json.loads(said).items() if not holds]
    if failed:
        raise SandboxError(f"the sandbox does not contain here; not true: it {', it '.join(failed)}")


def reason(said: str) -> str:
    """Why nothing ran in the sandbox, and the remedy, if it is one of those that are known."""
    last = said.splitlines()[-1][-300:]
    if re.match("bwrap: .*(namespace|uid map|[Pp]ermission|not permitted)", last):
        return (f"bubblewrap cannot make a sandbox here: {last}. Containers need --security-opt seccomp=unconfined, "
                "newer Ubuntu an AppArmor profile for bwrap")
    if "Permission denied" in last and os.geteuid() == 0:
        return (f"Python does not start in the sandbox: {last}. Answers run as a user without rights, who has to be "
                f"able to read Python and its packages: chmod -R a+rX '{sys.prefix}'")
    return f"Python does not start in the sandbox: {last}"


def versions() -> dict[str, str]:
    """What a grade depends on."""
    names = ("posebook", "torch", "numpy", "ipykernel")
    return {"python": sys.version.split()[0], **{name: importlib.metadata.version(name) for name in names}}
