"""How far a learner is: which problems pass, how often each was tried, which mistakes were met, what comes next.

In a notebook in work/: ``from posebook.progress import show`` and ``show()``; in a terminal ``posebook progress``.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posebook import _journal, predictions, quiz
from posebook._args import fail
from posebook._html import markup

NONE = "No problem was tried yet: write an answer in a notebook of work/exercises/ and run the check cell below it."
MANY = 4  # failing tries in a row after which the hints are named


@dataclass(frozen=True)
class Line:
    """How one problem stands. ``tries`` counts answers that differ from the one before."""

    name: str
    points: int
    minutes: int
    state: str  # passes, fails, put back or not tried
    before: bool  # it has passed at some time
    tries: int
    since: int  # tries since it passed last
    passed: int  # cases of the latest try
    cases: int
    diagnosis: str  # of the latest try
    mistakes: tuple[str, ...]  # each diagnosis once, the latest last

    @property
    def stands(self) -> str:
        """State and tries in words."""
        words = f"{self.passed} of {self.cases} cases pass" if self.state == "fails" else self.state
        words += ", has passed before" if self.before and self.state != "passes" else ""
        return words + (f", {self.tries} {'try' if self.tries == 1 else 'tries'}" if self.tries else "")


@dataclass(frozen=True)
class Progress:
    """How a problem set stands."""

    name: str
    chapter: int
    lines: tuple[Line, ...]

    @property
    def headline(self) -> str:
        """Problems and points so far."""
        passing = [line for line in self.lines if line.state == "passes"]
        points = f"{sum(line.points for line in passing)} of {sum(line.points for line in self.lines)} points"
        return f"{self.name}: {len(passing)} of {len(self.lines)} problems pass, {points}"

    @property
    def next(self) -> str:
        """One sentence on what to do next."""
        notebook = f"exercises/{self.name}/{self.name}.ipynb"
        open_ = [line for line in self.lines if line.state != "passes"]
        if not open_:
            return f"All pass. Run the whole of {notebook} once more, save it, and it is ready to hand in."
        line = next((line for line in open_ if line.state != "not tried"), open_[0])
        if line.since >= MANY:
            return (f"`{line.name}`: open the hints below its statement, or read chapter {self.chapter} again, which "
                    "works on the same question.")
        if line.state == "fails":
            return f"`{line.name}`: {line.diagnosis or 'look at the rows that its check failed.'}"
        return f"`{line.name}` in {notebook}, {line.points} points, about {line.minutes} minutes."

    def __str__(self) -> str:
        wrap = partial(textwrap.wrap, width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
        rows = [self.headline]
        for line in self.lines:
            rows.append(f"  {line.name:22} {line.stands}")
            rows += [text for mistake in line.mistakes for text in wrap(mistake)]
        return "\n".join([*rows, *textwrap.wrap(f"Next: {self.next}", width=100, initial_indent="  ",
                                                subsequent_indent="    ")])

    def _repr_html_(self) -> str:
        left, rows = "style='text-align:left;vertical-align:top'", ""
        for line in self.lines:
            says = ("<b>&#10003;</b> " if line.state == "passes" else "") + line.stands
            texts = "<br>&bull; ".join([says, *map(markup, line.mistakes)])
            rows += f"<tr><th scope='row' {left}>{markup(f'`{line.name}`')}</th><td {left}>{texts}</td></tr>"
        caption = f"<caption style='text-align:left'><b>{markup(self.headline)}</b></caption>"
        head = f"<tr><th scope='col' {left}>problem</th><th scope='col' {left}>state, and mistakes met</th></tr>"
        return f"<table>{caption}{head}{rows}</table><p>Next: {markup(self.next)}</p>"


class Sets(tuple):
    """Several sets, one below the other, and lines on predictions and quizzes."""

    lines: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return len(self) > 0 or len(self.lines) > 0

    def __str__(self) -> str:
        return "\n\n".join([*map(str, self), *(["\n".join(self.lines)] if self.lines else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join([*(progress._repr_html_() for progress in self),
                        *(f"<p>{markup(line)}</p>" for line in self.lines)])


def read(path: Path, name: str = "") -> Sets:
    """What a journal says: of the sets in which something was tried, predictions and quizzes, or of the one set named.

    Raises:
        ValueError: an unknown set.
    """
    from posebook.checks import SETS

    if name not in ("", *SETS):
        fail("set", f"one of {', '.join(SETS)}", name)
    entries = [entry for entry in _journal.entries(path) if sound(entry)]
    tried = {entry["problem"] for entry in entries}
    found = []
    for chapter, (each, problems) in enumerate(SETS.items(), start=1):
        if each == name or not name and tried & {problem.name for problem in problems}:
            lines = [line(problem, [entry for entry in entries if entry["problem"] == problem.name])
                     for problem in problems]
            found.append(Progress(each, chapter, tuple(lines)))
    sets = Sets(found)
    chapters = range(1, len(SETS) + 1) if not name else [1 + list(SETS).index(name)]
    told = [*predictions.told(path).items(), *quiz.told(path).items()]
    sets.lines = tuple(line for number, line in told if number in chapters)
    return sets


def sound(entry: dict) -> bool:
    """Whether an entry is of a try or of a stub brought back, with all that these have."""
    types, kind = {"problem": str}, entry.get("kind")
    if kind == "check":
        types |= {"passed": int, "cases": int, "diagnosis": str, "answer": str}
    return kind in ("check", "reset") and all(isinstance(entry.get(key), each) for key, each in types.items())


def line(problem, entries: Sequence[dict]) -> Line:
    """A problem's line, of its entries in order."""
    tries = since = 0
    state, before, last, mistakes = "not tried", False, {}, {}
    for entry in entries:
        if entry["kind"] == "reset":
            state, since, last = "put back", 0, {}
            continue
        new = not entry["answer"] or any(entry[key] != last.get(key) for key in ("answer", "passed", "diagnosis"))
        state = "passes" if entry["passed"] == entry["cases"] else "fails"
        tries, since = tries + new, 0 if state == "passes" else since + new
        before, last = before or state == "passes", entry
        if entry["diagnosis"]:
            mistakes.pop(entry["diagnosis"], None)
            mistakes[entry["diagnosis"]] = None
    return Line(problem.name, problem.points, problem.minutes, state, before, tries, since, last.get("passed", 0),
                last.get("cases", 0), last.get("diagnosis", ""), tuple(mistakes))


def show(name: str = "") -> None:
    """Show the progress kept for this notebook: of the sets in which something was tried, or of the one named.

    Raises:
        ValueError: an unknown set.
    """
    path = _journal.where()
    if path is None:
        print("Tries are kept for notebooks in work/ alone, which posebook lab fills: open one there.")
        return
    from IPython.display import display

    try:
        sets = read(path, name)
    except OSError as error:
        print(f"What was kept of your tries cannot be read: {error}")
    else:
        display(sets) if sets else print(NONE)
