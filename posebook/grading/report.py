"""One page for the instructor: how a set went, problem by problem and case by case, and which mistakes were made."""

import inspect
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat

from posebook import _html
from posebook._files import write
from posebook.checks.problem import Problem, Report
from posebook.grading import similar
from posebook.grading.course import Course, CourseError, Score
from posebook.grading.grade import Result
from posebook.grading.results import HandedIn, duration
from posebook.grading.run import scan

BLUE, GRAY = "#0072b2", "#c8c8c8"


@dataclass(frozen=True)
class Class:
    """What a set's page is made of."""

    name: str
    problems: list[Problem]
    students: list[str]
    handed_in: dict[str, HandedIn]
    results: dict[str, Result]  # of today's checks, by student
    scores: dict[str, Score]
    unreadable: dict[str, str]  # by student, why
    release: list[str]  # the released notebook's code cells

    @classmethod
    def of(cls, course: Course, name: str) -> "Class":
        """Raises CourseError where the set was not released, or nothing of it is graded."""
        problems, scores = course.problems(name), course.scores(name)
        lines, handed_in = scan(course, name)
        results = {student: found for student, its in handed_in.items() if (found := its.stored()) is not None}
        if not results:
            raise CourseError(f"nothing of {name} is graded: posebook grade {name}")
        cells = nbformat.read(course.notebook("release", name), as_version=4).cells
        return cls(name, problems, list(course.students()), handed_in, results, scores,
                   {line.name: line.says for line in lines}, [c.source for c in cells if c.cell_type == "code"])

    @property
    def recorded(self) -> list[str]:
        """Whose scores nbgrader has recorded to the end."""
        return [student for student in self.results
                if student in self.scores and self.handed_in[student].mark.is_file()]

    @property
    def most(self) -> float:
        """The set's points, with those that are given by hand."""
        return max((score.most for score in self.scores.values()), default=sum(p.points for p in self.problems))

    def reports(self, problem: Problem) -> dict[str, Report]:
        """What came of one problem, by student."""
        return {student: report for student, result in self.results.items() for report in result.reports
                if report.name == problem.name}

    def answer(self, student: str, name: str) -> str:
        """The text of a student's answer cell."""
        cells = [cell for cell in self.handed_in[student].submission.cells if cell.kind == "code"]
        return next((cell.source for cell in cells if cell.grade_id == name), "")


def write_report(course: Course, name: str) -> Path:
    """Write grading/report/<set>.html and say where it is."""
    path = course.grading / "report" / f"{name}.html"
    write(path, page(Class.of(course, name)).encode(), mode=0o600)
    return path


def page(its: Class) -> str:
    """The whole page."""
    points = {student: its.scores[student].points for student in its.recorded}
    body = [f"<h1>{escape(its.name)}: {len(its.students)} students</h1>", summary(its, points),
            "<h2>Points</h2>", distribution(points, its.most),
            "<h2>Problems</h2>", successes(its), "<h2>Known mistakes</h2>", mistakes(its),
            "<h2>Wrong in a way that has no name yet</h2>", nameless(its),
            "<h2>Time and failures</h2>", failures(its), "<h2>Late, missing, unreadable</h2>", absent(its),
            "<h2>Answers that resemble each other</h2>", resemblances(its), "<h2>Case by case</h2>", cases(its)]
    return _html.page(f"{its.name}: how it went", body)


def summary(its: Class, points: Mapping[str, float]) -> str:
    """The gist in a sentence or two."""
    gist = f"{len(its.handed_in) + len(its.unreadable)} handed in, {len(its.results)} are graded."
    if points:
        gist += (f" Median {statistics.median(points.values()):.3g} of {its.most:g} points, from "
                 f"{min(points.values()):.3g} to {max(points.values()):.3g}.")
    return f"<p>{gist}</p>"


def distribution(points: Mapping[str, float], full: float) -> str:
    """How many students have how many points, in ten steps of equal width; the last holds its upper end too."""
    counts = Counter(min(9, int(10 * max(0.0, value) / full)) for value in points.values())
    most = max([1, *counts.values()])
    rows = [(f"{full * k / 10:g} to {full * (k + 1) / 10:g}", [(BLUE, counts[k] / most)], str(counts[k]))
            for k in range(10)]
    return _html.bars(rows, "Students by points: " + ", ".join(f"{name}: {end}" for name, _, end in rows))


def successes(its: Class) -> str:
    """The share of the points that each problem brought, and how many solved it whole, in part, not at all."""
    bars, rows = [], []
    for problem in its.problems:
        reports = its.reports(problem).values()
        share = statistics.mean(report.score / problem.points for report in reports)
        whole, none = sum(report.passed for report in reports), sum(report.score == 0 for report in reports)
        bars.append((problem.name, [(BLUE, share), (GRAY, 1 - share)], f"{share:.0%}"))
        rows.append((problem.name, str(problem.points), str(whole), str(len(reports) - whole - none), str(none)))
    left = 20 + 8 * max(len(problem.name) for problem in its.problems)
    alt = "Share of the points earned: " + ", ".join(f"{name} {end}" for name, _, end in bars)
    return _html.bars(bars, alt, left=left) + _html.table(
        "How many students solved it", ("problem", "points", "whole", "in part", "not at all"), rows)


def mistakes(its: Class) -> str:
    """Which known mistakes were made how often and by whom, the most frequent first."""
    who: dict[tuple[str, str], list[str]] = defaultdict(list)
    for problem in its.problems:
        for student, report in its.reports(problem).items():
            if report.diagnosis and not report.passed:
                who[problem.name, report.diagnosis].append(student)
    rows = [(name, says, str(len(students)), ", ".join(sorted(students)))
            for (name, says), students in sorted(who.items(), key=lambda item: (-len(item[1]), item[0]))]
    return _html.table("Mistakes that checks know", ("problem", "what it is", "how many", "who"), rows,
                       words=True) if rows else "<p>None was made.</p>"


def nameless(its: Class) -> str:
    """Answers that failed without a name, grouped by the cases that failed: what new known mistakes are made of."""
    groups: dict[tuple[str, tuple], list[str]] = defaultdict(list)
    for problem in its.problems:
        for student, report in its.reports(problem).items():
            if not report.passed and not report.diagnosis:
                failed = tuple((row.case, row.message) for row in report.rows if not row.passed)
                groups[problem.name, failed].append(student)
    parts = []
    for (name, failed), students in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        rows = "".join(f"<li>{escape(case)}{': ' if says else ''}{escape(says)}</li>" for case, says in failed)
        who, first = escape(", ".join(sorted(students))), min(students)
        parts.append(f"<h3><code>{escape(name)}</code>: {len(students)}</h3><p>{who}</p><ul>{rows}</ul><details>"
                     f"<summary>The answer of {escape(first)}</summary><pre>{escape(its.answer(first, name))}</pre>"
                     "</details>")
    return "\n".join(parts) if parts else "<p>None.</p>"


def failures(its: Class) -> str:
    """How long grading took, and whose answers took too much of something."""
    seconds = [result.seconds for result in its.results.values()]
    gist = f"<p>{duration(statistics.median(seconds))} for the median notebook, {duration(max(seconds))} at most.</p>"
    rows = [(student, result.status, "; ".join(result.notes)) for student, result in sorted(its.results.items())
            if result.status != "ok" or result.notes]
    return gist + (_html.table("What the grader has to say", ("student", "status", "notes"), rows, words=True)
                   if rows else "<p>Every notebook ran to its end.</p>")


def absent(its: Class) -> str:
    """Who was late and how late, whose file cannot be read and why, who handed in nothing."""
    rows = [(student, f"{duration(score.late)} late, {score.penalty:g} points off")
            for student, score in sorted(its.scores.items()) if score.late]
    rows += [(student, f"not graded: {says}") for student, says in sorted(its.unreadable.items())]
    rows += [(student, "handed in, not graded yet") for student in sorted(its.handed_in.keys() - its.results.keys())]
    rows += [(student, "handed in nothing") for student in sorted({*its.students} - {*its.handed_in, *its.unreadable})]
    return _html.table("Who is missing something", ("student", "what"), rows,
                       words=True) if rows else "<p>Everybody handed in, in time.</p>"


def resemblances(its: Class) -> str:
    """Pairs whose answers share more than the task explains."""
    answers = {student: [cell.source for cell in handed.submission.cells if cell.kind == "code" and not cell.checks]
               for student, handed in its.handed_in.items()}
    known = [*its.release, *(text for problem in its.problems for text in _texts(problem))]
    rows = [(f"{pair.first}, {pair.second}", f"{pair.share:.0%}", str(pair.rows))
            for pair in similar.pairs(answers, known)[:30]]
    note = ("<p>Code that is alike once names, comments and layout are taken away, beyond what the notebook gives, "
            "what the solutions hold and what many wrote. Two people who learned together may well write alike: a "
            "reason to look at both, and no verdict.</p>")
    return note + (_html.table("The 30 pairs that share most", ("students", "share", "rows of tokens"), rows)
                   if rows else "<p>None.</p>")


def _texts(problem: Problem) -> list[str]:
    """Its reference and alternatives, as they stand in the file of checks."""
    found = []
    for answer in (problem.reference, *problem.alternatives):
        try:
            found.append(inspect.getsource(answer))
        except (OSError, TypeError):  # made by a function, not written down
            continue
    return found


def cases(its: Class) -> str:
    """For each problem a table of its cases: how many passed, and what the others were told most often."""
    parts = []
    for problem in its.problems:
        told: dict[str, Counter] = {case.name: Counter() for case in problem.cases}
        for report in its.reports(problem).values():
            for row in report.rows:
                told.setdefault(row.case, Counter())["" if row.passed else row.message or "failed"] += 1
        rows = [(case, f"{counts['']} of {counts.total()}",
                 next((says for says, _ in counts.most_common() if says), "")) for case, counts in told.items()]
        head = ("case", "passed", "what most others were told")
        parts.append(_html.table(f"{problem.name}: who passed each case", head, rows, words=True))
    return "\n".join(parts)
