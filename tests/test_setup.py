"""Set-up: every file names the same packages, a wheel holds the package alone, a broken machine gets one line."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import build
import nbformat
import pip
import pytest
import uv
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STUDENT = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRA = [Requirement(text) for texts in PROJECT["optional-dependencies"].values() for text in texts]
DIRECT = [requirement for requirement in STUDENT + EXTRA if requirement.name != "posebook"]
INSTALLED = {canonicalize_name(distribution.name) for distribution in importlib.metadata.distributions()}
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PINNED = {canonicalize_name(name): version for name, version in (line.split("==") for line in PINS)}


def closure(requirements: list[Requirement]) -> set[str]:
    """The distributions that these requirements bring, as they are installed here."""
    found, waiting = set(), list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in found:
            continue
        found.add((name, *requirement.extras))
        needs = importlib.metadata.requires(name) if name in INSTALLED else []  # bench may be absent
        for need in map(Requirement, needs or []):
            if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in {"", *requirement.extras}):
                waiting.append(need)
    return {name for name, *extras in found}


# What is installed is said alike everywhere


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_each_dependency_is_a_lower_bound_and_pinned_above_it(requirement):
    assert [bound.operator for bound in requirement.specifier] == [">="]
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)])


def test_all_that_these_dependencies_bring_is_pinned():
    of_torch = closure([Requirement("torch")])  # a CUDA build brings more, and torch itself says which
    assert closure(DIRECT) - of_torch - set(PINNED) == set()
    assert "torch==2.13.0" in PINS


def test_conda_installs_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"] and environment["channels"] == ["conda-forge"]
    assert conda == ["python=3.11", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e ."]}


def test_only_the_python_that_ci_runs_is_claimed():
    claimed = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if "Python :: 3" in text]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"python:(\d\.\d+)", workflow) == claimed == ["3.11"]
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.parametrize("name", sorted(INSTALLED & set(PINNED) - {"posebook"}))
def test_what_is_pinned_runs_on_the_oldest_python_that_is_claimed(name):
    """Debian 12 has 3.11.2: a pin that needs 3.11.5 fails there after minutes."""
    if importlib.metadata.version(name).split("+")[0] == PINNED[name]:
        needs = importlib.metadata.metadata(name).get("Requires-Python")
        assert needs is None or SpecifierSet(needs).contains("3.11.0")


def test_what_repeats_a_pin_follows_it():
    """What installs in Binder, the ruff that looks at each commit, and the widgets that a chapter's set-up wants."""
    pins = PINNED
    assert (ROOT / ".binder/requirements.txt").read_text() == f"uv=={pins['uv']}\n"
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert hooks["rev"] == f"v{pins['ruff']}" and hooks["hooks"] == [{"id": "ruff-check"}]
    assert set(re.findall(r'"([\w-]+>=[\d.]+)"', build.SETUP)) == {"ipywidgets>=8.1.4"} <= {*map(str, STUDENT)}


def test_the_hosts_run_the_python_that_ci_runs_and_fill_work():
    (python,) = {text.split(" :: ")[-1] for text in PROJECT["classifiers"] if "Python :: 3" in text}
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["image"] == f"python:{python}-bookworm"
    assert (ROOT / ".binder/runtime.txt").read_text() == f"python-{python}\n"
    assert "posebook update" in container["postCreateCommand"]
    started = ROOT / ".binder/postBuild"
    assert "posebook update" in started.read_text() and os.access(started, os.X_OK)
    assert "--torch-backend cpu -c constraints.txt" in started.read_text()
    assert container["containerEnv"] == {"UV_TORCH_BACKEND": "cpu"}  # which uv reads


def test_each_chapter_can_be_opened_without_installing():
    readme, places, chapters = (ROOT / "README.md").read_text(), set(), sorted(ROOT.glob("chapters/*.ipynb"))
    for path in chapters:
        for host, inside in (("colab.research.google.com/github", f"blob/main/chapters/{path.name}"),
                             ("mybinder.org/v2/gh", f"main?urlpath=lab%2Ftree%2Fwork%2Fchapters%2F{path.name}")):
            found = re.findall(rf"\(https://{re.escape(host)}/([\w-]+/[\w-]+)/{re.escape(inside)}\)", readme)
            assert len(found) == 1, (host, path.name)
            places |= {*found}
    places |= {*re.findall(r"git\+https://github.com/([\w/-]+)", build.SETUP)}
    assert len(places) == 1, "one repository"
    counted = {name: int(n) for n, name in re.findall(r"\[(\d+) problems\]\(exercises/(\w+)/\2\.ipynb\)", readme)}
    assert counted == {name: len(problems) for name, problems in build.SETS.items()}
    for picture in ("docs/colab.svg", "docs/binder.svg"):
        assert readme.count(f"({picture})") == len(chapters) and (ROOT / picture).exists()


def test_the_pictures_of_readme_are_there_and_have_words():
    pictures = re.findall(r"!\[([^\]]*)\]\((docs/\w+\.png)\)", (ROOT / "README.md").read_text())
    assert {path for _, path in pictures} == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.png")}
    assert len(pictures) == 5 and all(len(alt.split()) > 20 for alt, _ in pictures)


def test_contributing_names_what_is_there():
    parts = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"site", "work"}
    words = re.findall(r"`([^`\s]+/[^`\s]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    named = {word for word in words if word.split("/")[0] in parts and "<" not in word}
    assert len(named) > 20 and [name for name in sorted(named) if not (ROOT / name).exists()] == []


# A wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Made of a source distribution, as an index would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_the_package_with_its_data_and_the_course_and_nothing_else(wheel):
    files = [path for path in (ROOT / "posebook").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    package = {path.relative_to(ROOT).as_posix() for path in files}
    package |= {f"posebook/course/{path.relative_to(ROOT).as_posix()}"
                for folder in ("chapters", "exercises") for path in (ROOT / folder).rglob("*.ipynb")
                if ".ipynb_checkpoints" not in path.parts}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == package
    assert {"posebook/data/portrait.json", "posebook/course/chapters/02_decoding.ipynb",
            "posebook/course/exercises/decoding/decoding.ipynb"} <= held


IMPORT_ALL = """
import importlib, json, pkgutil, sys
target, refused, left_out = json.loads(sys.stdin.read())

class Refuse:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is no dependency of students", name=name)

sys.meta_path.insert(0, Refuse)
sys.path.insert(0, target)
import posebook
assert posebook.__path__[0].startswith(target), posebook.__path__
print(*[importlib.import_module(module.name).__name__
        for module in pkgutil.walk_packages(posebook.__path__, "posebook.") if module.name not in left_out], sep="\\n")
"""


# Only these need the instructor's extras; one submission is graded without them.
NBGRADER = [f"posebook.grading.{name}"
            for name in ("cluster", "collect", "course", "export", "feedback", "record", "report", "results", "roster",
                         "run", "steps")]


def test_an_installed_wheel_needs_student_dependencies_only(wheel, tmp_path):
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", tmp_path, wheel]
    subprocess.run(install, check=True, capture_output=True)
    student = closure(STUDENT)
    refused = [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if module != "posebook" and not student.intersection(map(canonicalize_name, owners))
    ]
    assert {"jupytext", "nbgrader", "hypothesis"} <= set(refused)
    command = [sys.executable, "-I", "-c", IMPORT_ALL]
    told = json.dumps([str(tmp_path), refused, [*NBGRADER, "posebook._triton"]])
    done = subprocess.run(command, input=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "posebook.cli" in done.stdout.split()


@pytest.fixture(scope="module")
def student(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel, and of what is installed here what students need, by links."""
    folder = tmp_path_factory.mktemp("a student") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/*/site-packages"))
    for distribution in map(importlib.metadata.distribution, closure(STUDENT) & INSTALLED):
        for file in distribution.files:
            part = file if file.parts[0] == ".." else Path(file.parts[0])  # a whole package at once
            link = Path(os.path.normpath(site / part))
            if not {"__pycache__", "bin"} & set(part.parts) and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(os.path.normpath(distribution.locate_file(part)))
    command = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--no-deps", "--no-index"]
    subprocess.run([*command, wheel], check=True, capture_output=True)
    return folder


def test_a_student_who_has_only_the_wheel_solves_a_problem_set(student, tmp_path):
    """No clone, none of the tests' packages: the course comes out of the package, and its notebooks run."""
    here = tmp_path / "my course"
    here.mkdir()
    bin, env = student / "bin", {key: value for key, value in os.environ.items() if key != "POSEBOOK_PROGRESS"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=here, env=env, timeout=600, **TOGETHER)
        assert done.returncode == 0, done.stdout
        return done.stdout

    found = "from importlib.util import find_spec as f; print(f('nbgrader'), f('hypothesis'), f('posebook').origin)"
    assert re.match(f"None None {re.escape(str(student))}", run(bin / "python", "-c", found))
    assert run(bin / "posebook", "update").splitlines()[:2] == ["New in work/:", "  chapters/01_representations.ipynb"]
    chapter = here / "work/chapters/02_decoding.ipynb"
    notebook = nbformat.read(chapter, as_version=4)
    del notebook.cells[[cell.source[:6] for cell in notebook.cells].index("## 2.3"):]
    nbformat.write(notebook, chapter)
    nbval = "-q", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"
    assert re.search(r"^\d\d passed", run(bin / "python", "-m", "pytest", *nbval, chapter), re.M)
    solved = here / "work/exercises/representations/representations.ipynb"
    shutil.copy(ROOT / "solutions/representations/representations.ipynb", solved)
    run(bin / "python", "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", solved)
    assert run(bin / "posebook", "progress").startswith("representations: 4 of 4 problems pass, ")
    assert run(bin / "posebook", "reset", "hybrid_loss").startswith("hybrid_loss in work/exercises/representations/")
    assert run(bin / "posebook", "doctor").endswith("The course can run here.\n")


def made_up(folder: Path, name: str, version: str, *needs: str) -> None:
    """A wheel of nothing but an empty module."""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        required = "".join(f"Requires-Dist: {need}\n" for need in needs)
        said = {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}",
                "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", "RECORD": ""}
        for part, text in said.items():
            file.writestr(f"{name}-{version}.dist-info/{part}", text)


@pytest.mark.parametrize(("widgets", "then"), [("7.7.1", "99"), ("8.1.4", "8.1.4")])
def test_the_first_cell_adds_posebook_and_leaves_what_is_there_but_old_widgets(wheel, tmp_path, widgets, then):
    """In an environment of made-up packages, as incomplete as a host's may be; tqdm wants another numpy than is there.
    """
    there = {"ipywidgets": widgets, "matplotlib": "3.9", "numpy": "1.26.4", "scipy": "1.13", "torch": "2.6.0+cu124",
             "widgetsnbextension": "3.6.6"}
    for name, version in there.items():
        made_up(tmp_path, name, version, "not_there")
        made_up(tmp_path, name, "99")
    for name in ("comm", "jupyterlab_widgets", "safetensors"):
        made_up(tmp_path, name, "1")
    made_up(tmp_path, "tqdm", "1", "numpy>=99")
    shutil.copy(wheel, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (next(tmp_path.glob("venv/lib/*/site-packages")) / "pip").symlink_to(Path(pip.__file__).parent)
    python = tmp_path / "venv/bin/python"
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": tmp_path.as_uri(), "PIP_CONFIG_FILE": os.devnull}
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | settings
    command = [python, "-m", "pip", "install", "--no-deps", *(f"{name}=={version}" for name, version in there.items())]
    subprocess.run(command, env=env, check=True, capture_output=True)

    cell = re.sub(r"posebook @ git\+[^\"]+", "posebook", build.SETUP)
    found = "import posebook, importlib.metadata as m; print(*{f'{d.name}=={d.version}' for d in m.distributions()})"
    done = subprocess.run([python, "-c", f"{cell}\n{found}"], cwd=tmp_path, env=env, **TOGETHER)
    added = dict.fromkeys(("comm", "jupyterlab_widgets", "safetensors", "tqdm"), "1")
    want = there | added | {"ipywidgets": then, "posebook": PROJECT["version"]}
    got = dict(each.split("==") for each in done.stdout.split("\n")[-2].split())
    assert got == want, done.stdout


def test_the_first_cell_does_nothing_where_posebook_is(monkeypatch, capfd):
    monkeypatch.setattr(subprocess, "run", None)
    exec(build.SETUP, {})
    assert capfd.readouterr() == ("", "")
    for source in ROOT.glob("sources/chapters/*.py"):
        first = next(cell for cell in build.read(source).cells if cell.cell_type == "code")
        assert first.source == build.SETUP and first.metadata.jupyter.source_hidden


def test_import_posebook_is_light():
    script = "import sys, posebook; print({'matplotlib', 'ipywidgets', 'IPython', 'torch'}.intersection(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(("first", "parsed"), [("pass", "True"), ("cli.main(['--help'])", "False")])
def test_a_command_parses_no_grammars_of_addresses(first, parsed):
    """jsonschema, which notebooks need, does that for more than a second as it is imported: if not, the line can go."""
    script = f"import sys\nfrom posebook import cli\ntry:\n    {first}\nexcept SystemExit:\n    pass\n" \
        "import nbformat\nprint('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split()[-1] == parsed, done.stderr


def test_threads_that_wait_sleep():
    """What OpenMP itself says that it read: where posebook imports torch, and in a kernel that imports torch first."""
    script = "import posebook.people, subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'])"
    variables = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", script], env=variables | {"OMP_DISPLAY_ENV": "true"}, **TOGETHER)
    assert done.stdout.count("OMP_WAIT_POLICY = 'PASSIVE'") == 2


def test_the_version_is_said_once_more_alike():
    import posebook

    assert posebook.__version__ == PROJECT["version"]


# make, on machines whole and broken

LEFT_OUT = ("PIP_", "MAKE", "MFLAGS", "TORCH_INDEX")  # tests may run under a make of their own
OFFLINE = {key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT) and key != "PYTHON"}
OFFLINE |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
TOGETHER = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
BACKEND = """
import zipfile

FILES = {
    "posebook.py": "",
    "posebook-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: posebook\\nVersion: 1\\nProvides-Extra: dev\\n",
    "posebook-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "posebook-1.dist-info/RECORD": "",
}

def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/posebook-1-py3-none-any.whl", "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
    return "posebook-1-py3-none-any.whl"
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    """What `make venv` reads, around a project that installs without a network."""
    folder = tmp_path / "a clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "tools/venv.py", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return folder


def make(folder: Path, *words: str) -> tuple[int, list[str]]:
    """Exit status and lines, less those of make itself."""
    command = ["make", "--no-print-directory", *words]
    done = subprocess.run(command, cwd=folder, env=OFFLINE, **TOGETHER)
    return done.returncode, [line for line in done.stdout.splitlines() if not line.startswith("make: ***")]


def fake_python(folder: Path, change: str) -> str:
    """A Python in which one thing differs."""
    script = f"import runpy, sys; {change}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{script}" "$@"\n')
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_make_alone_lists_the_tasks():
    status, lines = make(ROOT)
    assert status == 0
    assert [line.split("\t")[0] for line in lines] == [
        f"make {task}" for task in ("lab", "test", "venv", "notebooks", "site", "lint", "bench")
    ]


def test_an_old_python(clone):
    old = fake_python(clone, "sys.version_info = (3, 8, 10, 'final', 0)")
    status, lines = make(clone, "lab", old)
    assert status != 0 and len(lines) == 1
    assert lines[0].startswith("Python 3.11 or newer is needed, this is 3.8 (")
    assert re.search(r"\); install it or name one: make PYTHON=python3\.\d+ lab$", lines[0])
    assert not (clone / ".venv").exists()


def test_an_old_python_can_read_the_script():
    assert ast.parse((ROOT / "tools/venv.py").read_text(), feature_version=(3, 6)).body


def test_no_python(clone):
    status, lines = make(clone, "lab", "PYTHON=no-python")
    assert status != 0
    assert lines == [
        "Python 3.11 or newer is needed, there is no no-python; install it or name one: make PYTHON=python3.12 lab"
    ]


def test_debian_without_python3_venv(clone):
    status, lines = make(clone, "lab", fake_python(clone, "sys.modules['ensurepip'] = None"))
    version = "{}.{}".format(*sys.version_info)
    assert status != 0 and len(lines) == 1
    assert lines[0].startswith(f"Python {version} (") and lines[0].endswith(
        f") lacks ensurepip, which makes .venv; on Debian or Ubuntu: apt install python{version}-venv"
    )
    assert not (clone / ".venv").exists()


INSTALLING = (
    "Installing posebook into .venv: the first time 340 MB to download, with torch's CUDA build 3 GB, and minutes; "
    "later seconds. Details: .venv/install.log"
)
PACKAGES = "  Installing collected packages: posebook"
NO_NETWORK = "No network: no package index was reached. Connect and run the same again. Details: .venv/install.log"


def test_no_network_then_a_second_try(clone):
    """No index is reached: one line, and the installer's own words in the log. Then the same command goes on."""
    project = (clone / "pyproject.toml").read_text()
    (clone / "pyproject.toml").write_text(project.replace("requires = []", 'requires = ["hatchling"]'))
    status, lines = make(clone, "venv", f"PYTHON={sys.executable}")
    assert status == 2
    assert lines == [INSTALLING, NO_NETWORK]
    assert "Connection refused" in (clone / ".venv/install.log").read_text()

    (clone / "pyproject.toml").write_text(project)
    assert make(clone, "venv", f"PYTHON={sys.executable}") == (0, [INSTALLING, PACKAGES])
    assert list(clone.glob(".venv/lib/*/site-packages/posebook.py"))


def set_up(folder: Path, *extras: str, env: dict[str, str] = OFFLINE) -> list[str]:
    """What tools/venv.py says."""
    command = [sys.executable, "tools/venv.py", *extras]
    return subprocess.run(command, cwd=folder, env=env, **TOGETHER).stdout.splitlines()


def test_a_venv_is_brought_up_to_date_only_where_it_must(clone):
    assert set_up(clone) == [INSTALLING, PACKAGES]
    assert set_up(clone) == []
    assert set_up(clone, "dev") == [INSTALLING, PACKAGES]  # an extra that is missing
    assert set_up(clone) == set_up(clone, "dev") == []  # and dev serves students too

    with (clone / "constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    assert set_up(clone) == [INSTALLING, PACKAGES]
    assert set_up(clone, "dev") == []  # the extras stay

    project = (clone / "pyproject.toml").read_text()
    (clone / "pyproject.toml").write_text(project.replace("requires = []", 'requires = ["hatchling"]'))
    assert set_up(clone) == [INSTALLING, NO_NETWORK]  # nothing was changed:
    (clone / "pyproject.toml").write_text(project)
    assert set_up(clone) == []

    backend, site = clone / "backend.py", next(clone.glob(".venv/lib/*/site-packages"))  # cut off, it begins anew:
    (site / "half-1.0.dist-info").mkdir()
    backend.write_text(BACKEND.replace('"posebook.py": "",', '"../../../../../../posebook.py": "",'))  # fails late
    assert set_up(clone, "bench")[:2] == [INSTALLING, PACKAGES]
    backend.write_text(BACKEND)
    assert set_up(clone) == [INSTALLING, PACKAGES]
    assert not (site / "half-1.0.dist-info").exists() and (site / "posebook.py").exists()

    moved = clone.rename(clone.with_name("moved"))
    assert set_up(moved) == [INSTALLING, PACKAGES]
    assert str(moved) in (moved / ".venv/bin/pip").read_text()


def test_uv_installs_where_it_is(clone):
    """It is heard alike; without a network as well."""
    log = clone / ".venv/install.log"
    with_uv = OFFLINE | {"PATH": str(Path(uv.find_uv_bin()).parent) + os.pathsep + os.environ["PATH"],
                         "UV_CACHE_DIR": str(clone / "cache"), "UV_DEFAULT_INDEX": OFFLINE["PIP_INDEX_URL"]}
    project = (clone / "pyproject.toml").read_text()
    (clone / "pyproject.toml").write_text(project.replace("requires = []", 'requires = ["hatchling"]'))
    assert set_up(clone, env=with_uv) == [INSTALLING, NO_NETWORK]
    (clone / "pyproject.toml").write_text(project)
    lines = set_up(clone, env=with_uv)
    assert lines[0] == INSTALLING and lines[1].startswith("  Prepared 1 package in") and len(lines) == 2
    assert "+ posebook==1" in log.read_text() and list(clone.glob(".venv/lib/*/site-packages/posebook.py"))
    assert set_up(clone, env=with_uv) == []


def test_control_c_is_one_line_and_the_next_call_goes_on(clone):
    backend = clone / "backend.py"
    backend.write_text(BACKEND.replace("import zipfile", "import time, zipfile\ntime.sleep(60)"))
    command = [sys.executable, "tools/venv.py"]
    setting_up = subprocess.Popen(command, cwd=clone, env=OFFLINE, process_group=0, **TOGETHER)
    assert setting_up.stdout.readline() == INSTALLING + "\n"
    log = clone / ".venv/install.log"
    while not log.exists() or "Checking if build backend" not in log.read_text():
        assert setting_up.poll() is None
        time.sleep(0.1)
    os.killpg(setting_up.pid, signal.SIGINT)
    assert setting_up.communicate()[0].strip() == "Stopped. Run the same command again to go on."
    assert setting_up.returncode == 1

    backend.write_text(BACKEND)
    assert set_up(clone) == [INSTALLING, PACKAGES]


def test_torch_comes_from_the_index_that_is_named(clone):
    index = clone / "index/torch"
    index.mkdir(parents=True)
    name = "torch-2.13.0+tiny-py3-none-any.whl"
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')
    with zipfile.ZipFile(index / name, "w") as wheel:
        info = "torch-2.13.0+tiny.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+tiny\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    command = ["venv", f"PYTHON={sys.executable}"]
    status, lines = make(clone, *command, f"TORCH_INDEX={index.parent.as_uri()}")
    assert (status, lines) == (0, [INSTALLING, "  Installing collected packages: torch", PACKAGES])
    assert list(clone.glob(f".venv/lib/*/site-packages/{info}/INSTALLER"))
    assert make(clone, *command) == (0, [])

    moved = clone.rename(clone.with_name("moved"))  # .venv is made anew: torch comes from there again
    shutil.copytree(moved / "index", clone / "index")
    assert set_up(moved) == [INSTALLING, "  Installing collected packages: torch", PACKAGES]
    assert list(moved.glob(f".venv/lib/*/site-packages/{info}/INSTALLER"))


@pytest.mark.parametrize(
    ("log", "status", "start"),
    [
        ("WARNING: Retrying after connection broken by 'NameResolutionError'\nERROR: No matching", 1, "No network: "),
        ("urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.", 1, "No network: "),
        ("ERROR: [Errno 28] No space left on device", 1, "The disk is full: "),
        ("ERROR: first\nERROR: No matching distribution", 1, "Installation stopped: ERROR: No matching distribution."),
        ("  × No solution found when resolving:\n  ╰─▶ because", 1, "Installation stopped: × No solution found when"),
        ("error: Failed to parse", 2, "Installation stopped: error: Failed to parse. Details: .venv/install.log"),
        ("Downloading", -signal.SIGKILL, "The installation was killed (signal 9), for want of memory perhaps: "),
        ("", 1, "Installation stopped: no reason given. "),
    ],
)
def test_each_failure_is_one_line(log, status, start):
    spec = importlib.util.spec_from_file_location("venv_script", ROOT / "tools/venv.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.reason(log, status).startswith(start)
    assert "\n" not in script.reason(log, status)
