"""A class to grade in tests: a set of two problems and a question, students, and a grader that is quick."""

import zipfile
from pathlib import Path

import nbformat
from quick_grader import work

from posebook.checks import PROBLEMS
from posebook.grading.course import Course, Line
from posebook.grading.pool import Task
from posebook.grading.run import run

ROSTER = """id,First Name,Last Name,Email,LMS user id
ann,Ann,Arbor,ann@example.org,4711
bob,Bob,Doe,,4712
rob,Bob,Doe,,4713
zoe_m,Zoë,M,,
"""
INTRODUCTION = """# Mini

The mean $\\hat u =
\\sum_u u\\,p(u)$, and $x < \\nonesuch$.

<details><summary>Hint</summary>

soft

</details>"""
FREE = "Why does the softmax lean to the center?\n\nYOUR ANSWER HERE"


def mini() -> nbformat.NotebookNode:
    """The set as an instructor writes it."""
    def marks(**values: object) -> dict:
        defaults = {"schema_version": 3, "task": False, "grade": False, "solution": False, "locked": False}
        return {"nbgrader": defaults | values}

    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [text(INTRODUCTION)]
    for name, points in (("soft_argmax", 3), ("fuse", 2)):
        body = f"def {name}(*args):\n    ### BEGIN SOLUTION\n    return 42\n    ### END SOLUTION"
        check = marks(grade_id=f"check-{name}", grade=True, locked=True, points=points)
        cells += [code(body, metadata=marks(grade_id=name, solution=True)),
                  code(f'check("{name}", {name})', metadata=check)]
    cells.append(text(FREE, metadata=marks(grade_id="why", grade=True, solution=True, points=5)))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def submit(course: Course, student: str, *, when: str = "2026-11-19 10:00:00 UTC", free: str = "",
           **answers: str) -> Path:
    """Hand in the released notebook; ``fuse="half"`` makes the quick grader pass half of fuse's cases."""
    notebook = nbformat.read(course.notebook("release", "mini"), as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in answers:
            cell.source += f"\n    # fake: {answers[grade_id]}"
        if grade_id == "why" and free:
            cell.source = free
    path = course.notebook("submitted", "mini", student)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    path.with_name("timestamp.txt").write_text(when)
    return path


def half(name: str) -> float:
    """Points for half of a problem's cases."""
    cases = len(PROBLEMS[name].cases)
    return PROBLEMS[name].points * (cases // 2) / cases


def here(tasks: list[Task]) -> list[tuple[Task, bool, str]]:
    """Grade in this process: starting a worker costs seconds."""
    return [(task, True, work(task)) for task in tasks]


def grade(course: Course, *, grade_all=here, **options: bool) -> dict[str, Line]:
    lines = run(course, "mini", grade_all=grade_all, **options)
    return {line.name: line for line in lines}


def archive(path: Path, members: dict[str, bytes], date=(2026, 11, 19, 8, 0, 0)) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, date), data, zipfile.ZIP_DEFLATED)
    return path
