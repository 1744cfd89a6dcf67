"""A class to grade in tests: a set of two problems and a question, students, and a grader that is quick."""

import json
import zipfile
from pathlib import Path

import nbformat
import psutil
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
CANVAS_FILE = (  # as its Grades, Export writes it: how columns are posted, points possible, a test student
    '\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Quiz (17),mini (90210),Current Score\n'
    ',,,,,Manual Posting,,\n'
    '    Points Possible,,,,,5,10,(read only)\n'
    '"Arbor, Ann",4711,u1,ann,"Lab 1, Monday",3,,60\n'
    '"Doe, ""Jr."", Bob",4712,u2,,Lab 2,4,,80\n'
    '"Doe, Bob",4713,u3,,Lab 2,5,7,100\n'
    '"M, Zo\u00eb",,,zoe_m,Lab 1,1,,20\n'
    '"M, Zo\u00eb",99,,zoe_m,Lab 1,1,,20\n'
    '"Student, Test",5000,,,Lab 1,,,\n'
)
MOODLE_FILE = (
    'Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Feedback comments\n'
    'Participant 881,Ann Arbor,ann@example.org,Submitted for grading,,"10,00",Yes,\n'
    'Participant 882,Bob Doe,bob@example.org,Submitted for grading,,"10,00",Yes,"kept, ""as"" is"\n'
    'Participant 883,Zoe\u0308 M,,No submission,,"10,00",Yes,\n'
    'Participant 884,Guest,guest@example.org,No submission,1,"10,00",Yes,\n'
)
HOSTILE = """\
<script>alert(1)</script>
<img src=x onerror=alert(1)>
[x](javascript:alert(1))
<svg/onload=alert(1)>
<a href='jAvAsCrIpT:alert(1)'>x</a>
<iframe srcdoc='<script>alert(1)</script>'></iframe>
</div>
![x](javascript:alert(1))
![x](data:text/html;base64,PHN2Zz4=)
<form action=//x><input autofocus onfocus=alert(1)>
$<img src=x onerror=alert(1)>$
$$<script>alert(1)</script>$$
\\begin{a}<script>x</script>\\end{a}
`<script>`
<!-- --!><script>x</script>
<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>
<noscript><p title='</noscript><img src=x onerror=alert(1)>'>
<style>*{}</style>
<base href=//x>
<details open ontoggle=alert(1)>
\\[x\\](javascript:alert(1))
<https://x/"onclick=alert(1)>
&lt;script&gt;alert(1)&lt;/script&gt;
<x/onclick=alert(1)>
<a id=check-fuse name=why>
<p style='x:y'>
<img src=https://x/track.png>
![x](https://x/track.png)
![x](attachment:a.png)
- [ ] x""".split("\n") + [
    "[x]: javascript:alert(1)\n\n[x]", "$$\n<script>alert(1)</script>\n$$", "```html\n<script>alert(1)</script>\n```",
    "```mermaid\n<script>x</script>\n```", "<div>\n\n", "\n\n", "    ", "\u2028", "\r", "*",
]
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


def submit_hostile(course: Course, student: str) -> None:
    """Hand in a notebook that wants to act in the page of whoever looks at it, wherever it can say something."""
    path = submit(course, student, soft_argmax="say <svg/onload=alert(1)>", fuse="half", free="\n\n".join(HOSTILE))
    notebook = json.loads(path.read_text())
    bad = '"><script>alert(1)</script>'
    marks = {"grade_id": bad, "grade": True, "solution": True, "points": 1, "locked": False}
    notebook["metadata"] |= {"title": bad, "authors": [{"name": bad}], "widgets": {"application/x": {"state": bad}},
                             "language_info": {"name": bad, "pygments_lexer": bad, "mimetype": bad}}
    for text in HOSTILE:
        notebook["cells"] += [
            {"cell_type": "markdown", "id": "x", "source": text, "metadata": {"tags": [bad], "nbgrader": marks}},
            {"cell_type": "raw", "id": "y", "source": text, "metadata": {"format": "text/html"}},
            {"cell_type": "code", "id": "z", "source": text, "metadata": {}, "execution_count": 1, "outputs": [
                {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}]}]
    path.write_text(json.dumps(notebook))


def half(name: str) -> float:
    """Points for half of a problem's cases."""
    cases = len(PROBLEMS[name].cases)
    return PROBLEMS[name].points * (cases // 2) / cases


def here(tasks: list[Task]) -> list[tuple[Task, bool, str]]:
    """Grade in this process: starting a worker costs seconds."""
    return [(task, True, work(task)) for task in tasks]


def grade(course: Course, *, grade_all=here, **options: object) -> dict[str, Line]:
    lines = run(course, "mini", grade_all=grade_all, **options)
    return {line.name: line for line in lines}


def archive(path: Path, members: dict[str, bytes], date=(2026, 11, 19, 8, 0, 0)) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, date), data, zipfile.ZIP_DEFLATED)
    return path


def command_of(process: psutil.Process) -> str:
    """Its words; none once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
