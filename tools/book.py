"""Build the web book: python tools/book.py, into site/. Nothing is executed, nothing is asked from a network.

.site/source gets what sphinx reads, laid out as here, so that the notebooks' links hold: book/, the chapters and
problem sets with their stored outputs, the pages for instructors and contributors, the references, and one page for
each of API.
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))
import references  # noqa: E402
from frames import player  # noqa: E402

from posebook.questions.quizzes import QUIZZES  # noqa: E402
from posebook.quiz import html as quiz  # noqa: E402

PAGES = ("README.md", "INSTRUCTORS.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
EXPLORER = re.compile(r"from posebook\.explore import (\w+)(?: as \w+)?\n+\w+\.explore\(\)")
QUIZ = re.compile(r"^quiz\((\d)\)$", re.M)
PLAYER = re.compile(r"^PLAYER (\w+)$", re.M)  # in book/index.md
HEADING = re.compile(r"^(#+ (\d+\.\d+) )", re.M)
NOTE = (
    "Here you can read the problems. To solve them, [run the course](../../setup.md): a check then says what is right "
    "and names your mistake."
)
API = {  # page -> title, sentence, modules of posebook
    "places": ("Skeletons, grids and formats", "Which points there are, and where they lie.",
               "skeleton grid coco results"),
    "encode": ("From points to targets", "What a network is asked to answer.", "encode"),
    "decode": ("From heatmaps to points", "What a network's answer means.", "decode expectation fusion filters"),
    "warp": ("Turned, cropped and spoiled pictures", "What happens to a point when its picture changes.",
             "warp equivariance corruptions"),
    "theory": ("Closed forms", "What the chapters check against measurement.", "theory"),
    "losses": ("Losses and networks", "What is learned, and by what.",
               "losses models training training.methods training.scale"),
    "grouping": ("Several people", "From maps to people.", "grouping"),
    "evaluation": ("Metrics and diagnosis", "How good is it, and what does each kind of error cost?",
                   "metrics evaluation diagnosis evaluation_report"),
    "uncertainty": ("Uncertainty and fairness", "How sure is it, and for whom is it worse?", "uncertainty fairness"),
    "geometry": ("Cameras", "From pixels to meters.", "geometry"),
    "people": ("Drawn people and figures", "Pictures with exact keypoints, and plots of them.", "people draw"),
    "studies": ("Stored studies", "What the chapters' tables and small networks were made by.",
                "training.table training.variants training.crowds training.robustness training.turning "
                "training.residuals training.actions training.fairness"),
    "explorers": ("Explorers", "Each is a state, what follows from it, and pure views of that.",
                  "explore." + " explore.".join(sorted(
                      path.stem for path in ROOT.glob("posebook/explore/[a-z]*.py")))),
    "checks": ("Checks and progress", "How an answer is tried, how a question is asked, and what is noted of both.",
               "checks ask predictions quiz progress"),
}


def page(path: Path, static: Path) -> NotebookNode:
    """A notebook as the book shows it: a label for each section, explorers that move, problems with their pictures."""
    notebook = nbformat.read(path, as_version=4)
    problems = path.is_relative_to(ROOT / "exercises")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = HEADING.sub(r"(section-\2)=\n\1", cell.source)
        elif found := EXPLORER.fullmatch(cell.source):
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": player(found[1], static)})]
        elif found := QUIZ.search(cell.source):
            text = quiz(QUIZZES[int(found[1])], book=True)
            cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": text})]
            cell.metadata.tags = ["remove-input"]
        elif re.match(r"predictions?\(", cell.source):
            cell.metadata.tags = ["remove-input"]
        elif problems and any("image/png" in output.get("data", {}) for output in cell.outputs):
            cell.metadata.tags = ["remove-input"]
    if problems:
        first = notebook.cells[0]
        first.source = first.source.replace("\n", f"\n\n```{{note}}\n{NOTE}\n```\n", 1)
    return notebook


def moving(name: str, static: Path) -> str:
    """An explorer that moves, in a page of Markdown."""
    return f"``````{{raw}} html\n{player(name, static)}``````"


def reference(title: str, sentence: str, modules: str) -> str:
    """One page of the API, as sphinx reads it."""
    lines = [title, "=" * len(title), "", sentence, ""]
    for name in modules.split():
        heading = f"posebook.{name}"
        lines += [heading, "-" * len(heading), "", f".. automodule:: {heading}", ""]
    return "\n".join(lines)


def sources(folder: Path) -> dict[Path, bytes]:
    """Everything that sphinx reads, by its place in this folder."""
    texts = [ROOT / name for name in PAGES] + sorted(ROOT.glob("docs/*"))
    own = [path for path in sorted(ROOT.glob("book/**/*")) if not {"__pycache__", ".frames"} & {*path.parts}]
    files = {folder / path.relative_to(ROOT): path.read_bytes() for path in texts}
    files |= {folder / path.relative_to(ROOT / "book"): path.read_bytes() for path in own if path.is_file()}
    front = folder / "index.md"
    files[front] = PLAYER.sub(lambda found: moving(found[1], folder / "_static"), files[front].decode()).encode()
    for path in sorted(ROOT.glob("chapters/*.ipynb")) + sorted(ROOT.glob("exercises/*/*.ipynb")):
        files[folder / path.relative_to(ROOT)] = nbformat.writes(page(path, folder / "_static")).encode()
    files[folder / "references.md"] = references.page().encode()
    return files | {folder / "api" / f"{name}.rst": reference(*words).encode() for name, words in API.items()}


def lay_out(folder: Path) -> None:
    """Write what has changed only, since sphinx reads again what is newer, and remove what is gone."""
    files = sources(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path not in files and not path.name.startswith("frames-"):
            path.unlink()
    for path, data in files.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def main() -> int:
    site, work = ROOT / "site", ROOT / ".site"
    made = work / "site"
    lay_out(work / "source")
    options = ["-q", "-W", "--keep-going", "-d", str(work / "doctrees")]
    if status := build_main([*options, str(work / "source"), str(made)]):
        return status
    for leftover in ("_static/webpack-macros.html", ".buildinfo"):
        (made / leftover).unlink(missing_ok=True)
    if site.exists():
        shutil.rmtree(site)
    shutil.move(made, site)
    return 0


if __name__ == "__main__":
    sys.exit(main())
