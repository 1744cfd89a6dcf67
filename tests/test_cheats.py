"""No cheat gains a point. Each is tried on a problem of which the honest part of its answer earns a quarter.

Most share one notebook and so one kernel: each cell is one cheat and leaves a function of its own name. No cell may
raise, or the cheat would not have been tried.
"""

import json
from dataclasses import replace

import pytest
import torch
from test_sandbox import pass_as_ordinary_user, second_user

from posebook.checks import PROBLEMS, trial, withheld
from posebook.checks.problem import Case, Problem
from posebook.grading import kernel, submission
from posebook.grading.grade import Limits, grade
from posebook.grading.kernel import Session

pytestmark = pytest.mark.usefixtures("bubblewrap")

SECRET = b"only the course knows"
LIMITS = Limits(cell=20, memory=3 * 2**30)


def random(rng):
    return (torch.randn(5, generator=rng, dtype=torch.float64),)


def twice(name):
    """Double a tensor. A constant zero is right in one of four cases."""
    return Problem(name, points=4, minutes=1, reference=lambda x: 2 * x, own=(), mistakes=(), cases=(
        Case("any numbers", random), Case("zero", lambda rng: (torch.zeros(3),)),
        Case("the same twice", lambda rng: (same := random(rng), same), holds=torch.equal),
        Case("the gradient", random, vjp=("x", 0))))


HONEST = "def answer(x):\n    return x * 0\n"
HONEST_SCORE = 1.0


def read(*sources, **metadata):
    """A submission, by way of a file."""
    cells = [{"cell_type": "code", "source": source, "outputs": [], "execution_count": None,
              "metadata": metadata} for source in sources]
    return submission.read(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode())


def graded(sources, problems):
    return grade(read(*sources), problems, secret=SECRET, assignment="a", student="s", limits=LIMITS)


# ---------------------------------------------------------------------------------------------------------------------
# Lies about values and comparisons

LIES = {
    "patched_allclose": """
        torch.allclose = torch.equal = torch.isclose = torch.Tensor.allclose = lambda *a, **k: True""",
    "patched_operators": """
        for name in ("__eq__", "__le__", "__lt__", "__ge__", "__gt__"):
            setattr(torch.Tensor, name, lambda self, other: torch.ones_like(self, dtype=torch.bool))""",
    "patched_builtins": """
        import builtins
        builtins.all, builtins.any = lambda *a: True, lambda *a: False""",
    "a_tensor_subclass_that_lies": """
        class Liar(torch.Tensor):
            @classmethod
            def __torch_function__(cls, function, types, args=(), kwargs=None):
                return True
        def answer(x):
            return (x * 0).as_subclass(Liar)""",
    "a_tensor_mode_that_lies": """
        from torch.overrides import TorchFunctionMode
        class Mode(TorchFunctionMode):
            def __torch_function__(self, function, types, args=(), kwargs=None):
                result = function(*args, **(kwargs or {}))
                return torch.ones_like(result) if function is torch.eq else result
        mode = Mode()
        mode.__enter__()""",
    "an_object_equal_to_all": """
        class Any(float):
            def __eq__(self, other): return True
            def __le__(self, other): return True
            __lt__ = __ge__ = __gt__ = __le__
            def __sub__(self, other): return 0.0
            __rsub__ = __abs__ = __sub__
            __hash__ = float.__hash__
            dtype, shape = torch.float64, torch.Size([5])
        def answer(x):
            return Any(0)""",
    "an_object_that_pickles_as_code": """
        class Code:
            def __reduce__(self):
                return eval, ("__import__('os')._exit(0)",)
        def answer(x):
            return (Code(),) if x.numel() == 5 else x * 0""",
    "not_a_number": """
        def answer(x):
            return x * float("nan") if x.any() else x * 0""",
    "infinity": """
        def answer(x):
            return x * float("inf") if x.any() else x * 0""",
    "a_broadcast": """
        def answer(x):
            return (x * 0)[:1] if x.any() else x * 0""",
    "several_answers_at_once": """
        def answer(x):
            return (x * 0, x, x * 3)""",
    "a_gradient_made_up": """
        class Made(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x * 0
            @staticmethod
            def backward(ctx, g): return g * float("nan")
        def answer(x):
            return Made.apply(x)""",
    "patched_autograd": """
        torch.autograd.grad = lambda *a, **k: (None,)""",
}

# ---------------------------------------------------------------------------------------------------------------------
# Meddling with the notebook and its kernel

MEDDLING = {
    "an_ast_transformer": """
        import ast
        class Pass(ast.NodeTransformer):
            def visit_Assert(self, node): return ast.Pass()
        get_ipython().ast_transformers.append(Pass())""",
    "an_input_transformer": """
        get_ipython().input_transformers_cleanup.append(lambda lines: ["pass"] if "check(" in lines else lines)""",
    "swallowed_exceptions": """
        get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)
        get_ipython().showtraceback = lambda *a, **k: None""",
    "a_check_of_its_own": """
        import posebook.checks
        posebook.checks.check = check = lambda *a: None
        class CheckFailed(Exception): pass""",
    "a_forged_module_of_checks": """
        import types
        sys.modules["posebook.checks.trial"] = fake = types.ModuleType("trial")
        fake.evaluate = fake.compare = lambda *a, **k: None""",
    "a_forged_display": """
        from IPython.display import HTML, display
        display(HTML("<p>fake: 4 of 4 cases passed, 4 of 4 points</p>"))""",
    "forged_messages": """
        kernel = get_ipython().kernel
        for socket in (kernel.iopub_socket, kernel.shell_stream):
            kernel.session.send(socket, "execute_reply", {"status": "ok", "execution_count": 1,
                                "user_expressions": {"score": 4}}, parent=kernel.get_parent())""",
    "a_patched_kernel": """
        get_ipython().kernel.do_execute = get_ipython().run_cell = lambda *a, **k: {"status": "ok"}
        del get_ipython().kernel.do_execute, get_ipython().run_cell""",
    "an_exit_hook": """
        import atexit
        atexit.register(lambda: print("4 of 4"))
        get_ipython().events.register("post_run_cell", lambda *a: None)""",
    "ignored_signals": """
        import signal
        signal.signal = signal.setitimer = lambda *a: None""",
    "a_seed_of_its_own": """
        torch.manual_seed(0)
        torch.manual_seed = lambda *a: torch.default_generator
        random_numbers = torch.randn(5, dtype=torch.float64)
        def answer(x):
            return 2 * random_numbers if x.any() else x * 0""",
    "a_default_device": """
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)""",
}

# ---------------------------------------------------------------------------------------------------------------------
# Looking for what is not there

LOOKING = {
    "frames": """
        import sys
        def answer(x):
            frame = sys._getframe()
            while frame:
                for value in frame.f_locals.values():
                    if hasattr(value, "reference"):
                        return value.reference(x)
                frame = frame.f_back
            return x * 0""",
    "all_objects": """
        import gc
        def answer(x):
            for thing in gc.get_objects():
                if type(thing).__name__ in ("Problem", "Case", "Report", "Mistake"):
                    return thing.reference(x)
            return x * 0""",
    "history": """
        def answer(x):
            shell = get_ipython()
            for _, _, line in shell.history_manager.get_range():
                if "2 * " + "x" in line:
                    exec(line, scope := {})
                    return scope["solution"](x)
            return x * 0""",
    "imports": """
        import importlib
        def answer(x):
            for name in ("posebook.checks.decoding", "posebook.checks.trial", "posebook.checks.problem",
                         "posebook.grading.grade", "posebook.grading.kernel", "tests.test_cheats", "test_cheats"):
                try:
                    return importlib.import_module(name).twice("").reference(x)
                except ImportError:
                    pass
            return x * 0""",
    "environment": """
        import os
        def answer(x):
            bad = [n for n in os.environ if "SECRET" in n or "PYTEST" in n or "TOKEN" in n]
            return 2 * x if bad else x * 0""",
    "other_processes": """
        import os, signal
        def answer(x):
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != os.getpid():
                    for part in ("environ", "mem", "maps", "fd"):
                        try:
                            with open(f"/proc/{name}/{part}", "rb") as file:
                                if b"only the course knows" in file.read(10**6):
                                    return 2 * x
                        except OSError:
                            pass
            return x * 0""",
    "network": """
        import socket
        def answer(x):
            for address in (("127.0.0.1", 8888), ("10.0.0.1", 53), ("1.1.1.1", 443)):
                try:
                    socket.create_connection(address, 0.2).close()
                    return 2 * x
                except OSError:
                    pass
            return x * 0""",
}

# ---------------------------------------------------------------------------------------------------------------------
# Behaving otherwise when checked

TIMING = {
    "state_between_calls": """
        seen = []
        def answer(x):
            seen.append(x.clone())
            return seen[0] if x.shape == seen[0].shape else x * 0""",
    "the_last_result_again": """
        last = [None]
        def answer(x):
            result = last[0] if last[0] is not None and last[0].shape == x.shape else x * 0
            last[0] = x
            return result""",
    "notices_the_check": """
        import inspect
        def answer(x):
            checked = any("calling" in f.filename or "guest" in f.filename for f in inspect.stack())
            return x * 0 if checked else 2 * x""",
    "different_each_time": """
        import itertools
        guesses = itertools.cycle([1.0, 1.5, 2.5, 3.0])
        def answer(x):
            return x * next(guesses)""",
    "changes_its_input": """
        def answer(x):
            x.zero_()
            return x""",
    "grows_its_input": """
        def answer(x):
            x.resize_(10**5)
            return x[:5] * 0""",
    "raises_to_tell": """
        class Told(Exception): pass
        def answer(x):
            if x.any():
                raise type(f"X{x.sum().item()}", (Told,), {})(f"the input was {x.tolist()}")
            return x * 0""",
    "exits": """
        def answer(x):
            raise SystemExit(0) if x.any() else NotImplementedError("x")""",
    "a_child_that_stays": """
        import os, time
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)""",
}
SHARED = {**MEDDLING, **LOOKING, **TIMING}


def cells(cheats):
    for name, code in cheats.items():
        lines = "\n".join(line[8:] for line in code.split("\n"))
        yield f"import sys, torch\n{HONEST}{lines}\n{name} = answer\n"


@pytest.fixture(scope="module")
def shared():
    return graded(list(cells(SHARED)), [twice(name) for name in SHARED])


@pytest.fixture(scope="module")
def lies():
    return graded(list(cells(LIES)), [twice(name) for name in LIES])


@pytest.mark.parametrize("name", [*SHARED, *LIES])
def test_a_cheat_gains_nothing(name, request):
    result = request.getfixturevalue("lies" if name in LIES else "shared")
    report = next(report for report in result.reports if report.name == name)
    assert report.score <= HONEST_SCORE, str(report)
    number = 1 + list(LIES if name in LIES else SHARED).index(name)
    raised = [note for note in result.notes if note.startswith(f"cell {number} ")]
    assert not raised, "the cheat was not tried"


def test_there_are_at_least_25_kinds():
    assert len(SHARED) + len(LIES) >= 40


def test_the_cheats_did_no_harm_to_the_honest_part(lies, shared):
    some = [report.score for report in (*shared.reports, *lies.reports)]
    assert some.count(HONEST_SCORE) > len(some) / 2


def test_what_is_said_of_a_cheat_holds_no_input(shared):
    report = next(report for report in shared.reports if report.name == "raises_to_tell")
    assert report.rows[0].message == "raised Exception" and not any(row.detail for row in report.rows)


def test_what_later_cells_say_holds_no_input_either():
    """Their words are those of the cell; before a problem was tried any are shown."""
    spy = "import torch\nseen = []\ndef spy(x):\n    seen.append(x)\n    return 2 * x"
    sources = ["raise ValueError('12 px')", spy, "from posebook.checks import check\ncheck('spy', spy)",
               "raise ValueError(str(seen))", "raise type(f'E{seen[0][0]}', (Exception,), {})()",
               "raise ImportError(str(seen))",
               "'0123456789'; raise ImportError(f\"No module named '{round(abs(float(seen[0][0])))}'\")",
               "'n0n1n2n3n4n5'; raise ImportError(f\"No module named 'n{len(seen) % 6}'\")",
               "import nonesuch", "from math import nought", "print(missing)",
               "def last(x): return 2 * x", "from posebook.checks import check\ncheck('last', last)"]
    result = graded(sources, [twice("spy"), twice("last")])
    assert result.reports[0].passed
    assert result.notes == (
        "cell 1 raised ValueError: 12 px", "cell 4 raised ValueError", "cell 5 raised an exception",
        "cell 6: a package is missing: what needs it was left out",
        "cell 7: a package is missing: what needs it was left out",
        "cell 8: a package is missing: what needs it was left out",
        "cell 9: No module named 'nonesuch': what needs it was left out",
        "cell 10: cannot import name 'nought': what needs it was left out",
        "cell 11 raised NameError: name 'missing' is not defined")


# ---------------------------------------------------------------------------------------------------------------------
# The library's own answers

LIBRARY = {
    "by_import": """
        def answer(heatmap, stride, offset=0.0):
            from posebook.decode import argmax
            return offset + stride * argmax(heatmap)""",
    "by_a_private_name": """
        from posebook import decode
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * decode._peak(heatmap).to(heatmap.dtype)""",
    "by_another_answer": """
        from posebook import decode
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * decode.refine_dark(heatmap, blur=0.0).round()""",
    "by_path": """
        import importlib.util, posebook.decode
        spec = importlib.util.spec_from_file_location("copy", posebook.decode.__file__)
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * copy.argmax(heatmap)""",
    "by_its_code": """
        import types
        from posebook import decode
        mine = types.FunctionType(decode.argmax.__code__, vars(decode))
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * mine(heatmap)""",
    "by_its_source": """
        import inspect
        from posebook import decode
        scope = dict(vars(decode))
        exec(inspect.getsource(decode.argmax), scope)
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * scope["argmax"](heatmap)""",
    "by_all_objects": """
        import gc, types
        def answer(heatmap, stride, offset=0.0):
            for thing in gc.get_objects():
                ours = isinstance(thing, types.FunctionType) and "posebook" in str(thing.__module__)
                if ours and thing.__name__ == "argmax":
                    return offset + stride * thing(heatmap)""",
    "by_another_process": """
        import subprocess, sys
        code = "import torch; from posebook.decode import argmax; print(argmax(torch.eye(3)).tolist())"
        works = subprocess.run([sys.executable, "-c", code], capture_output=True).stdout
        def answer(heatmap, stride, offset=0.0):
            return offset + stride * torch.tensor(eval(works or "None"))""",
    "by_an_installed_copy": """
        import glob, importlib.util, sys
        folders = sys.path + [f for up in (sys.prefix, sys.base_prefix, "/usr", "/usr/local")
                              for f in glob.glob(up + "/lib/python3*/*-packages")]
        files = [file for path in folders for file in glob.glob(path + "/posebook/**/decode*.py*", recursive=True)]
        def answer(heatmap, stride, offset=0.0):
            for file in files:
                spec = importlib.util.spec_from_file_location("copy", file)
                copy = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(copy)
                return offset + stride * copy.argmax(heatmap)""",
}


@pytest.fixture(scope="module")
def library():
    problems = [replace(PROBLEMS["decode_argmax"], name=name) for name in LIBRARY]
    return graded(list(cells(LIBRARY)), problems)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_librarys_answer_earns_nothing_and_says_why(name, library):
    report = next(report for report in library.reports if report.name == name)
    assert report.score == 0, str(report)
    if name != "by_another_process":
        assert "answers a problem of this set: write your own lines" in report.rows[0].message


# ---------------------------------------------------------------------------------------------------------------------
# What there is to be found

HUNT = '''
import glob, os, sys
def hunt(words):
    """Files that hold any of the words, notebooks and databases: everywhere but in Python and the system."""
    system = ("/proc", "/sys", "/usr", *glob.glob(sys.prefix + "/*"), *glob.glob(sys.base_prefix + "/*"))
    copies = [p for up in (sys.prefix, sys.base_prefix, "/usr", "/usr/local")
              for p in glob.glob(up + "/lib/python3*/*-packages/*posebook*")]
    found = []
    for top in ("/", *copies):
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if top != "/" or os.path.join(folder, name) not in system]
            for path in (os.path.join(folder, name) for name in files):
                try:
                    if os.path.isfile(path) and (path.endswith((".ipynb", ".db", ".sqlite", ".csv")) or any(
                            word.encode() in open(path, "rb").read(10**7) for word in words)):
                        found.append(path)
                except OSError:
                    pass
    return tuple(found)
def modules():
    import sys
    return tuple(name for name in sorted(sys.modules) if "posebook" in name)
def environment():
    return tuple(sorted(os.environ.items()))
def processes():
    return tuple(open(f"/proc/{name}/cmdline").read() for name in os.listdir("/proc") if name.isdigit())
held = []
def litter(files, pairs):
    import socket
    for n in range(files):
        open(f"/tmp/litter-{n}", "w").close()
    held.extend(socket.socketpair() for _ in range(pairs))
def descriptors():
    return tuple(sorted({os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                         if os.path.exists(f"/proc/self/fd/{n}")}))
'''


@pytest.fixture(scope="module", params=["fork", "cold"])
def inside(request):
    cold = request.param == "cold"
    with Session([(1, HUNT)], withheld=withheld(PROBLEMS.values()), limits=LIMITS, cold=cold) as session:
        session.ready()
        assert bool(session.kernel.first) is not cold
        yield session


def ask(session, name, *args):
    reply = session.ask(("call", name, 600.0, args), 700)
    assert reply[0] == "returned", reply
    return reply[1]


def test_nothing_secret_can_be_read(inside, tmp_path):
    (tmp_path / "gradebook.db").write_text("alternatives=(")
    words = ("This is argmax: it takes the highest cell", "alternatives=(", "index = heatmap.flatten(-2).argmax",
             "index = flat.argmax(-1)", "BEGIN SOLUTION", SECRET.decode(), "def draw_seed")
    own = "/home/student/.ipython/"  # what the kernel itself writes
    assert [path for path in ask(inside, "hunt", words) if not path.startswith(own)] == []
    assert ask(inside, "hunt", ("Expected cell under",)) != ()  # the hunt does find what is there


def test_memory_that_belongs_to_no_process_is_counted(inside):
    """Entries of empty files, and what may wait in sockets."""
    for litter, count, size in (((40_000, 0), kernel._files, 2048), ((0, 100), kernel._sockets, 2 * 4096)):
        before, others = count(inside.kernel.main), inside.kernel.memory()
        ask(inside, "litter", *litter)
        made = count(inside.kernel.main) - before
        assert made == litter[0] + 2 * litter[1]
        assert inside.kernel.memory() - others > 0.9 * made * size


def test_no_module_no_variable_no_process_of_the_grader_is_there(inside):
    shown = {"posebook", "posebook.checks", "posebook.checks.calling", "posebook.grading", "posebook.grading.guest",
             "posebook.grading.wire"}
    assert set(ask(inside, "modules")) == shown
    names = dict(ask(inside, "environment"))
    assert not set(names) & {"POSEBOOK_GUARD_LOG", "PYTEST_CURRENT_TEST", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"}
    assert names["PYTHONPATH"] == "/run/posebook"
    commands = ask(inside, "processes")
    assert len(commands) <= 3 and not any("pytest" in command for command in commands)
    opened = ask(inside, "descriptors")
    assert not [path for path in opened if path.startswith("/") and not path.startswith(("/dev/", "/tmp", "/home"))]


@second_user
def test_nothing_of_this_is_found_as_an_ordinary_user_either():
    pass_as_ordinary_user(__file__, "gains_nothing or library or secret or grader_is_there")


# ---------------------------------------------------------------------------------------------------------------------
# Lies on the line to the grader: the student's code has it in its own process

LINE = """
import os, socket, stat
from posebook.grading import guest, wire
def line():
    for n in map(int, os.listdir("/proc/self/fd")):
        try:
            s = socket.socket(fileno=os.dup(n))
            if s.family == socket.AF_UNIX and not s.getpeername() and not s.getsockname():
                made_by = int.from_bytes(s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
                if made_by != os.getpid():  # asyncio has such a pair of its own
                    s.setblocking(True)
                    return s
        except OSError:
            pass
def send(value):
    data = value if isinstance(value, bytes) else wire.encode(value)
    line().sendall(len(data).to_bytes(4, "big") + data)
""" + HONEST
RUIN = {
    "garbage": "send(b'garbage')",
    "a pickle": "import pickle; send(pickle.dumps({'score': 4}))",
    "an endless length": "line().sendall(b'\\xff' * 10_000)",
    "a flood": "l = line()\nwhile True: l.sendall(b'\\0\\x7f\\xff\\xff' * 10**6)",
}
QUIET = {
    "replies ahead": "for _ in range(8): send(('returned', torch.zeros(5), (torch.zeros(5),)))",
    "another encoder": "wire.encode = lambda value: b'\\0\\0\\0\\x05[1e9]'",
}
REPLIES = {
    "claims of success": "('ok', True, 'passed', 4)",
    "another's words": "('withheld', '<script>alert(1)</script>')",
    "a name that is markup": "('raised', '<script>alert(1)</script>', True)",
    "the input as the output": "('returned', args[0], args)",
    "silence on a changed input": "('returned', args[0] * 0, ())",
    "inputs of another kind": "('returned', args[0] * 0, ('x', 3)[:len(args)])",
    "a right gradient of a wrong output": "('returned', args[0] * 0, args)",
    "no tuple": "'returned'",
}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 2)
    monkeypatch.setattr(kernel, "GRACE", 1)


@pytest.mark.parametrize("name", QUIET)
def test_lies_on_the_line_gain_nothing(name, quick):
    result = graded(["import torch\n" + LINE, QUIET[name]], [twice("answer")])
    assert result.reports[0].score <= HONEST_SCORE


def test_cells_that_ruin_the_line_are_left_out():
    result = graded(["import torch\n" + LINE, *RUIN.values()], [twice("answer")])
    assert result.reports[0].score == HONEST_SCORE and result.status == "output"
    assert result.notes == tuple(f"cell {n} sent back too much, or what is no answer" for n in range(2, 2 + len(RUIN)))


def test_forged_replies_gain_nothing(quick):
    forge = f"""
def forge(kernel, what, name, seconds, args, *more):
    return {{{", ".join(f"{name!r}: {value}" for name, value in REPLIES.items())}}}[name]
guest.answer = forge"""
    result = graded(["import torch\n" + LINE, forge], [twice(name) for name in REPLIES])
    for report in result.reports:
        assert report.score <= HONEST_SCORE, str(report)
    assert "script" not in result.to_json()


# ---------------------------------------------------------------------------------------------------------------------
# Marks in the file


def test_marks_change_nothing_locked_cells_do_not_run_and_the_right_answer_has_all():
    tags = ["raises-exception", "skip-execution", "remove-cell"]
    marks = {"grade": True, "grade_id": "check-answer", "locked": False, "points": 400, "solution": True, "task": False,
             "schema_version": 3}
    marked = read("import torch", HONEST, HONEST, "check = None", "def right(x):\n    return 2 * x",
                  tags=tags, nbgrader=marks).cells
    locked = read("def locked(x):\n    return 2 * x", nbgrader={"locked": True, "grade_id": "check-locked"}).cells
    problems = [twice(name) for name in ("answer", "right", "locked")]
    result = grade(submission.Submission(marked + locked, ""), problems, secret=SECRET, assignment="a", student="s")
    assert [report.points for report in result.reports] == [4, 4, 4]
    assert [report.score for report in result.reports] == [HONEST_SCORE, 4.0, 0.0] and result.status == "ok"
    words = "there is no function `locked` after all cells have run"
    assert {row.message for row in result.reports[2].rows} == {words}


def test_inputs_depend_on_course_student_and_every_character():
    problem, drawn = twice("answer"), set()
    from posebook.grading.grade import draw_seed

    for secret, assignment, student, digest in (
            (b"a", "b", "c", "d"), (b"x", "b", "c", "d"), (b"a", "x", "c", "d"), (b"a", "b", "x", "d"),
            (b"a", "b", "c", "x"), (b"a", "bc", "", "d")):
        seed = draw_seed(secret, assignment, student, digest)
        assert seed == draw_seed(secret, assignment, student, digest)
        drawn.add(tuple(trial._draws(problem, problem.cases[0], seed)[0][0][0].tolist()))
    assert len(drawn) == 6
    assert read("x = 1").sha256 != read("x = 1 ").sha256
