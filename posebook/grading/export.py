"""The grades as a table, for a spreadsheet or a learning platform: ``nbgrader export`` writes it."""

import csv
from io import StringIO
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

from posebook._files import write
from posebook.grading.course import Course

COLUMNS = ("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
           "late_submission_penalty", "score", "max_score", "status")


class Grades(ExportPlugin):
    """nbgrader's columns, quoted where a name needs it, and a last one that says what came of the notebook. Nobody gets
    0 points for what was not graded: the score is then blank.
    """

    def export(self, gradebook: Gradebook) -> None:
        course = Course(Path(self.parent.coursedir.root), self.parent.config)
        table = StringIO()
        rows = csv.DictWriter(table, COLUMNS, restval="", lineterminator="\n")
        rows.writeheader()
        for assignment in gradebook.assignments:
            for student in gradebook.students:
                if (not self.assignment or assignment.name in self.assignment) and (
                        not self.student or student.id in self.student):
                    rows.writerow({"assignment": assignment.name, "duedate": assignment.duedate,
                                   "max_score": assignment.max_score, "student_id": student.id,
                                   "last_name": student.last_name, "first_name": student.first_name,
                                   "email": student.email, **_graded(course, gradebook, assignment.name, student.id)})
        write(Path(self.to or "grades.csv"), table.getvalue().encode())


def _graded(course: Course, gradebook: Gradebook, name: str, student: str) -> dict[str, object]:
    try:
        submission = gradebook.find_submission(name, student)
    except MissingEntry:
        there = course.folder("submitted", name, student).is_dir()
        return {"status": "not graded" if there else "nothing handed in"}
    penalty = submission.late_submission_penalty or 0.0
    return {"timestamp": submission.timestamp, "raw_score": submission.score, "late_submission_penalty": penalty,
            "score": max(0.0, submission.score - penalty),
            "status": "waits in formgrader" if submission.needs_manual_grade else "graded"}
