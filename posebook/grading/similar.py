"""Answers that share more than the task explains: a reason to look, and no verdict.

Each answer becomes a row of tokens in which comments, docstrings, layout and the names of variables no longer count.
What the released notebook, a reference or an alternative holds, or what many students write, is nobody's own. What two
students share beyond that is told.
"""

import ast
import io
import textwrap
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from keyword import iskeyword
from typing import NamedTuple

WIDTH = 10  # tokens that have to stand in a row
LEAST = 12  # such rows that two answers share, less than that is chance
SHARE = 0.5  # of the shorter answer's own rows
MANY = 0.15, 20  # of the students, and at most: what more of them write is nobody's own

Shingle = tuple[str, ...]


class Pair(NamedTuple):
    """Two students and the share of the shorter one's own rows of tokens that both have."""

    share: float
    rows: int
    first: str
    second: str


def tokens(source: str) -> list[str]:
    """The code of a cell as tokens: names numbered as they come, attributes and numbers as they are.

    >>> tokens("total = 0  # of all") == tokens("s = 0")
    True
    >>> tokens("x.sum(1)") == tokens("x.mean(1)")
    False
    """
    try:
        source = ast.unparse(_Plain().visit(ast.parse(textwrap.dedent(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # what cannot be run is compared as it was typed
    names: dict[str, str] = {}
    found, before = [], ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
                continue
            text = token.string
            if token.type == tokenize.NAME and not iskeyword(text) and before != ".":
                text = names.setdefault(text, f"name {len(names)}")
            found.append(text)
            before = token.string
    except (tokenize.TokenError, SyntaxError):
        pass  # the tokens up to there
    return found


class _Plain(ast.NodeTransformer):
    """Without docstrings and annotations."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return node


def shingles(source: str) -> set[Shingle]:
    """All rows of WIDTH tokens; names count anew within each, so that one more variable changes few of them."""
    row = tokens(source)
    return {_renamed(row[i : i + WIDTH]) for i in range(len(row) - WIDTH + 1)}


def _renamed(row: list[str]) -> Shingle:
    seen: dict[str, str] = {}
    return tuple(seen.setdefault(t, f"name {len(seen)}") if t.startswith("name ") else t for t in row)


def pairs(answers: Mapping[str, Iterable[str]], known: Iterable[str]) -> list[Pair]:
    """Students whose answers share much that is nobody else's, the most first.

    Args:
        answers: the code cells of each student.
        known: code that everybody may have: the released cells, references, alternatives.
    """
    given = set().union(*map(shingles, known))
    holders: dict[Shingle, list[str]] = defaultdict(list)
    for student, cells in sorted(answers.items()):
        for row in set().union(*map(shingles, cells)) - given:
            holders[row].append(student)
    share, most = MANY
    rare = [who for who in holders.values() if len(who) <= max(2, min(share * len(answers), most))]
    own = Counter(student for who in rare for student in who)
    both = Counter(pair for who in rare for pair in combinations(who, 2))
    found = [Pair(rows / min(own[first], own[second]), rows, first, second) for (first, second), rows in both.items()]
    return sorted((pair for pair in found if pair.rows >= LEAST and pair.share >= SHARE), reverse=True)
