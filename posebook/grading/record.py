"""nbgrader's steps as this course configures them: what is released, what is recorded, what a grader and a student see.

nbgrader never executes a submission here, nor opens its file. :class:`GradedNotebook` builds anew the notebook that
nbgrader records: the cells' texts, text cells made harmless, and under each check cell the sandboxed grader's report
and the score, in the place where nbgrader looks for it.
"""

import html
import re
import shutil
from functools import cache
from pathlib import Path

import bleach
import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
    NbGraderPreprocessor,
    OverwriteCells,
    SaveAutoGrades,
    SaveCells,
)
from traitlets.config import Config

from posebook._files import write
from posebook.checks import PROBLEMS, Report
from posebook.checks.example import example, known
from posebook.grading import roster
from posebook.grading.course import Course, find_alembic
from posebook.grading.export import Grades
from posebook.grading.feedback import FeedbackPage
from posebook.grading.results import HandedIn
from posebook.grading.submission import PICTURES, Cell, Submission


def configure(c: Config) -> None:
    """Set the folders and steps that posebook needs; ``nbgrader_config.py`` calls this."""
    find_alembic()
    c.CourseDirectory.source_directory = "solutions"
    c.CourseDirectory.release_directory = "exercises"
    for step in ("submitted", "autograded", "feedback", "solution", "source_with_tests"):
        c.CourseDirectory[f"{step}_directory"] = f"grading/{step}"
    c.CourseDirectory.ignore = [".*", "__pycache__", "*.pyc", "*~", "*.bak"]
    c.CourseDirectory.include = ["*.ipynb", "timestamp.txt"]  # all that the exchange takes of a submission
    c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
    c.GenerateAssignment.preprocessors = [
        LockCells, ClearSolutions, Blank, CheckCellMetadata, ComputeChecksums, SaveCells, ClearHiddenTests,
        ClearMarkScheme, ComputeChecksums, CheckCellMetadata,
    ]
    c.Autograde.exporter_class = GradedNotebook
    c.Autograde.sanitize_preprocessors = [RemoveOtherFiles, OverwriteCells]  # the marks are those of the release
    c.Autograde.autograde_preprocessors = [KeepScores, Extend, AssignLatePenalties, Recorded]
    c.GenerateFeedback.exporter_class = FeedbackPage
    c.ExportApp.plugin_class = Grades
    c.Autograde.create_student = False  # a folder of an unknown name is a mistake, not a student


class Blank(NbGraderPreprocessor):
    """Release: no outputs under answers and checks; checks may fail, so that Run All goes on to the next problem."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, cell_index: int) -> tuple[NotebookNode, dict]:
        marks = cell.metadata.get("nbgrader")
        if marks and cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if marks["grade"] and not marks["solution"]:
                cell.metadata["tags"] = ["raises-exception"]
        return cell, resources


class RemoveOtherFiles(NbGraderPreprocessor):
    """Autograde: nbgrader copies whatever lay beside a submission, and would show it in formgrader."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        marks, course = resources["nbgrader"], _course(self)
        for path in course.folder("autograded", marks["assignment"], marks["student"]).glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "timestamp.txt":
                path.unlink()
        return notebook, resources


class KeepScores(SaveAutoGrades):
    """Autograde: ask a human grader to look again only where the notebook or the automatic score is another one."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        marks = resources["nbgrader"]
        self.same = HandedIn.read(_course(self), marks["assignment"], marks["student"]).was_recorded()
        return super().preprocess(notebook, resources)

    def _add_score(self, cell: NotebookNode, resources: dict) -> None:
        grade = self.gradebook.find_grade(cell.metadata.nbgrader.grade_id, self.notebook_id, self.assignment_id,
                                          self.student_id)
        before = grade.auto_score, grade.needs_manual_grade
        super()._add_score(cell, resources)
        if self.same and grade.manual_score is not None and before == (grade.auto_score, False):
            grade.needs_manual_grade = False
            self.gradebook.db.commit()


class Extend(NbGraderPreprocessor):
    """Autograde: enter the student's own due date, before the penalty is taken."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        marks, course = resources["nbgrader"], _course(self)
        name, student = marks["assignment"], marks["student"]
        due, own = course.due(name), roster.due(course, name, student)
        with course.gradebook() as gradebook:
            extension = own - due if due and own != due else None
            gradebook.update_or_create_submission(name, student, extension=extension)
        return notebook, resources


class Recorded(NbGraderPreprocessor):
    """Autograde: say that the scores are in the gradebook; a run that is killed before that is done again."""

    def preprocess(self, notebook: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        marks = resources["nbgrader"]
        its = HandedIn.read(_course(self), marks["assignment"], marks["student"])
        write(its.mark, its.tag().encode(), mode=0o600)
        return notebook, resources


def _course(step: NbGraderPreprocessor) -> Course:
    return Course(Path(step.parent.parent.coursedir.root), step.config)


class GradedNotebook(NotebookExporter):
    """Autograde: reads a submission as :func:`graded`; what nbgrader has written itself it reads as ever."""

    def from_filename(self, filename: str, resources: dict | None = None, **options) -> tuple[str, dict]:
        marks = (resources or {}).get("nbgrader", {})
        course = Course(Path(self.parent.coursedir.root), self.config)
        name, student = marks.get("assignment", ""), marks.get("student", "")
        if Path(filename) != course.notebook("submitted", name, student):
            return super().from_filename(filename, resources, **options)
        resources = self._init_resources(resources)
        resources["metadata"] |= {"name": name, "path": str(Path(filename).parent)}
        its = HandedIn.read(course, name, student)
        its.unmark()
        return self.from_notebook_node(graded(its), resources, **options)


def graded(its: HandedIn) -> NotebookNode:
    """The notebook that nbgrader records: the submission's cells, with reports and scores."""
    result = its.graded()
    release = nbformat.read(its.course.notebook("release", its.set), as_version=4)
    cells, missing = rebuild(its.submission, release)
    reports = {f"check-{report.name}": report for report in result.reports}
    for cell in cells:
        marks = cell.metadata.get("nbgrader")
        if cell.cell_type == "code" and marks and marks["grade"] and not marks["solution"]:
            cell.outputs = [output(reports.get(marks["grade_id"]))]
    notes = [*its.lateness(), *(f"the cell `{grade_id}` is missing" for grade_id in missing)]
    notes += dict.fromkeys(its.notes + result.notes)
    if notes:
        lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        cells.insert(0, new_markdown_cell(one_line(f"<div><p><b>From the grader</b></p><ul>{lines}</ul></div>")))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    metadata = {"kernelspec": release.metadata.get("kernelspec", {}), "language_info": {"name": "python"}}
    return new_notebook(cells=cells, metadata=metadata)


def rebuild(submission: Submission, release: NotebookNode) -> tuple[list[NotebookNode], list[str]]:
    """The submission's cells with nothing else of its file, and the ids of the released cells that it lacks.

    nbgrader's marks come from the release, and so does the text of locked cells; a cell that is missing is put back.
    """
    originals = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    trusted = {cell.source for cell in release.cells}
    cells = [_cell(cell, originals.get(cell.grade_id), trusted) for cell in submission.cells]
    for number, cell in enumerate(cells, start=1):
        if cell.cell_type == "code":
            cell.execution_count = number  # is shown beside it: the notes speak of "cell 12"
    places = [cell.grade_id if cell.grade_id in originals else "" for cell in submission.cells]
    missing = [grade_id for grade_id in originals if grade_id not in places]
    order = list(originals)
    for grade_id in missing:
        before = order.index(grade_id)
        place = places.index(order[before - 1]) + 1 if before else 0
        cells.insert(place, _cell(Cell("", originals[grade_id].source), originals[grade_id], trusted))
        places.insert(place, grade_id)
    return cells, missing


def _cell(cell: Cell, original: NotebookNode | None, trusted: set[str]) -> NotebookNode:
    kind = original.cell_type if original else cell.kind
    metadata = {"nbgrader": dict(original.metadata.nbgrader)} if original else {}
    source = original.source if original and original.metadata.nbgrader.locked else cell.source
    if kind == "code":
        return new_code_cell(source, metadata=metadata)
    return new_markdown_cell(source if source in trusted else harmless(source, cell.pictures), metadata=metadata)


def output(report: Report | None) -> NotebookNode:
    """A check cell's output: the report for eyes; as plain text the score, which nbgrader takes as partial credit."""
    score, page = (report.score, report._repr_html_()) if report else (0.0, "<p>This check was not graded.</p>")
    page += shown(report.name, report.diagnosis) if report and report.diagnosis else ""
    page = page.replace("text-align:left", "text-align:left; padding-right:1em")  # nbgrader's pages give it no space
    metadata = {"posebook": gist(report)} if report else {}
    return new_output("execute_result", {"text/html": page, "text/plain": repr(float(score))}, metadata=metadata)


def gist(report: Report) -> dict:
    """What the line at the top of the feedback page says of a problem: the mistake, else the first case that failed."""
    failed = [row for row in report.rows if not row.passed]
    first = f"{failed[0].case}: {failed[0].message}".removesuffix(": ") if failed else ""
    return {"passed": len(report.rows) - len(failed), "cases": len(report.rows),
            "says": report.diagnosis if failed and report.diagnosis else first}


@cache
def shown(name: str, diagnosis: str) -> str:
    """What the known mistake does to a small input, as HTML; the input is the page's own, never a hidden one."""
    mistake = known(PROBLEMS[name], diagnosis) if name in PROBLEMS else None
    found = example(PROBLEMS[name], mistake) if mistake else None
    return ("<p>For example, on an input on which your answer was not tried:</p>"
            f'<pre tabindex="0">{html.escape(str(found))}</pre>') if found else ""


# ---------------------------------------------------------------------------------------------------------------------
# A student's Markdown may hold any HTML, and formgrader shows it in the instructor's session

TAGS = {*"p br hr h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote pre code kbd em strong b i u s del sub sup".split(),
        *"table thead tbody tr th td a img div span details summary".split()}
LINK = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
PICTURE = re.compile(rf"data:({'|'.join(PICTURES)});base64,[A-Za-z0-9+/]+={{0,2}}")
LONG = 20_000  # characters; longer text is shown as it was typed, since Markdown can be slow on purpose


def harmless(source: str, pictures: tuple[tuple[str, str, str], ...] = ()) -> str:
    """Markdown as one line of HTML: text, code, math, links, the cell's own pictures, and nothing that acts.

    Readers of Markdown pass such a block on as it is: what comes out of them is what was made harmless here.

    >>> harmless("a **b** <img src=x onerror=alert(1)> [c](javascript:alert(2))")
    '<div><p>a <strong>b</strong> (a picture from elsewhere, left out) <a>c</a></p></div>'
    """
    attached: dict[str, dict[str, str]] = {}
    for name, kind, data in pictures:
        attached.setdefault(name, {})[kind] = data
    try:
        renderer = IPythonRenderer(escape=False, exclude_anchor_links=True, attachments=attached)
        page = MarkdownWithMath(renderer=renderer).render(source) if len(source) <= LONG else None
    except Exception:  # an attachment that is not there; brackets nested without end
        page = None
    if page is None:
        page = f"<pre>{html.escape(source)}</pre>"
    page = bleach.clean(page, tags=TAGS, attributes=_may, protocols={"http", "https", "mailto", "data"})
    return one_line(f"<div>{page.strip()}</div>").replace("<img>", "(a picture from elsewhere, left out)")


def _may(tag: str, attribute: str, value: str) -> bool:
    """Whether an attribute may stay."""
    if attribute in ("title", "alt"):
        return True
    if tag == "span" and attribute == "class":
        return bool(re.fullmatch(r"[a-z0-9]{1,3}", value))  # the colors of code
    if tag == "div" and attribute == "class":
        return value == "highlight"
    return bool(tag == "a" and attribute == "href" and LINK.match(value)
                or tag == "img" and attribute == "src" and PICTURE.fullmatch(value))


def one_line(page: str) -> str:
    """HTML without line ends: a blank line would end the block, and Markdown would read on."""
    return page.replace("\r", "").replace("\n", "&#10;")
