"""Reading what students hand in: a notebook, or one plain sentence on why it is none."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebook.grading.submission import Cell, Malformed, read

EXERCISE = Path(__file__).parents[1] / "exercises/decoding/decoding.ipynb"


def notebook(*cells: dict, **other: object) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells)} | other).encode()


def code(source: object, **marks: object) -> dict:
    return {"cell_type": "code", "metadata": {"nbgrader": marks} if marks else {}, "source": source, "outputs": []}


def test_reads_cells_in_order_with_their_marks():
    cells = code(["a = 1\n", "b"], grade_id="f"), code("check()", grade_id="check-f", locked=True)
    got = read(notebook(*cells, {"cell_type": "raw", "source": "<b>"}, {"cell_type": "markdown", "source": "x"}))
    assert got.cells == (Cell("code", "a = 1\nb", "f"), Cell("code", "check()", "check-f", True),
                         Cell("markdown", "<b>"), Cell("markdown", "x"))
    assert got.notes == ()


def test_reads_the_released_notebook():
    got = read(EXERCISE.read_bytes())
    ids = {cell.grade_id for cell in got.cells}
    assert {"soft_argmax", "check-soft_argmax"} < ids
    assert all(cell.locked == cell.grade_id.startswith("check-") for cell in got.cells)
    assert read(b"\xef\xbb\xbf" + EXERCISE.read_bytes()) == got  # as some editors on Windows save it


def test_the_hash_is_of_what_was_written():
    """Outputs, cell ids and execution counts do not matter; each text, its kind and its place do."""
    def of(*cells):
        return read(notebook(*cells)).sha256

    same = of(code("a"), code("b"))
    assert of(code("a") | {"outputs": [1], "id": "x", "execution_count": 3}, code(["b"])) == same
    others = [of(code("ab")), of(code("b"), code("a")), of(code("a"), code("")),
              of(code("a"), code("b", grade_id="f")), of(code("a"), code("b", grade_id="", locked=True)),
              of(code("a"), {"cell_type": "markdown", "source": "b"})]
    assert len({same, *others}) == 7


def test_of_doubled_cells_the_last_counts():
    got = read(notebook(code("1", grade_id="f"), code("2", grade_id="g"), code("3", grade_id="f", locked=True)))
    assert [(cell.source, cell.grade_id) for cell in got.cells] == [("1", ""), ("2", "g"), ("3", "f")]
    assert got.notes == ("the cell `f` is there more than once; the last one counts",)


DEEP = b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": ' + b"[" * 200 + b"]" * 200 + b"}]}"
MALFORMED = {
    "empty": (b"", "the file is empty"),
    "zeros": (bytes(5000), "the file is empty"),
    "cut off": (EXERCISE.read_bytes()[:9000], "the file is cut off or is not JSON: "),
    "a picture": (b"\x89PNG\r\n\x1a\n", "the file is not UTF-8 text (byte 0)"),
    "latin 1": (notebook(code("caf?")).replace(b"?", b"\xe9"), "the file is not UTF-8 text (byte "),
    "a list": (b"[]", "the file is JSON, but not a Jupyter notebook"),
    "other JSON": (b'{"cells": []}', "the file is JSON, but not a Jupyter notebook"),
    "format 3": (notebook(nbformat=3), "notebook format: want 4, got 3; open it in JupyterLab and save it anew"),
    "format true": (notebook(nbformat=True), "notebook format: want 4, got True"),
    "format 4.0": (notebook(nbformat=4.0), "notebook format: want 4, got 4.0"),
    "no cells": (notebook(), "the notebook has 0 cells; want 1 to 2000"),
    "cells no list": (notebook(cells={"a": 1}), "the notebook has no list of cells"),
    "many cells": (notebook(*[code("")] * 2001), "the notebook has 2001 cells; want 1 to 2000"),
    "cell no object": (notebook(code(""), 3), "cell 2 is no code, markdown or raw cell"),
    "cell of no kind": (notebook(code("") | {"cell_type": ["code"]}), "cell 1 is no code, markdown or raw cell"),
    "source a number": (notebook(code(7)), "cell 1 has no text"),
    "source of numbers": (notebook(code(["a", 7])), "cell 1 has no text"),
    "no source": (notebook({"cell_type": "code"}), "cell 1 has no text"),
    "surrogate": (notebook(code("\ud83d")), "cell 1 holds half a character (a lone surrogate)"),
    "surrogate id": (notebook(code("", grade_id="\udc00")), "cell 1 holds half a character (a lone surrogate)"),
    "huge": (notebook(code("x" * 2**21)), "the cells hold more than 1048576 characters"),
    "100 MB": (bytes(100 * 2**20), "the file has 100 MB, want 16 MB at most"),
    "deep": (DEEP, "the file nests deeper than 64 levels"),
    "deeper": (b"[" * 10**6, "the file nests deeper than 64 levels"),
    "huge number": (notebook(execution_count=0).replace(b"0}", b"9" * 5000 + b"}"), "the file holds a number of"),
}


@pytest.mark.parametrize("data, reason", MALFORMED.values(), ids=MALFORMED)
def test_malformed(data, reason):
    with pytest.raises(Malformed) as caught:
        read(data)
    assert str(caught.value).startswith(reason) and len(str(caught.value)) < 120


@pytest.mark.parametrize("metadata", [None, 3, [], {"nbgrader": 1}, {"nbgrader": {"grade_id": 5, "locked": "yes"}}])
def test_odd_marks_are_no_marks(metadata):
    assert read(notebook(code("a") | {"metadata": metadata})).cells == (Cell("code", "a"),)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.just("code"),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("source"), inner))
CELL = st.fixed_dictionaries({}, optional={"cell_type": st.sampled_from(["code", "raw"]) | JSON, "source": JSON,
                                           "metadata": JSON | st.fixed_dictionaries({"nbgrader": JSON})})


@settings(max_examples=50)
@given(st.fixed_dictionaries({"nbformat": st.just(4) | JSON, "cells": st.lists(CELL) | JSON}))
def test_any_json_is_read_or_refused(value):
    reads_or_refuses(json.dumps(value).encode())


@settings(max_examples=100)
@given(st.data())
def test_any_damage_is_read_or_refused(data):
    good = notebook(code("a = 1", grade_id="f"), code("check()", grade_id="check-f", locked=True))
    place = data.draw(st.integers(0, len(good) - 1))
    reads_or_refuses(good[:place] + data.draw(st.binary(max_size=3)) + good[place + data.draw(st.integers(0, 3)):])


def reads_or_refuses(data: bytes) -> None:
    try:
        got = read(data)
    except Malformed as error:
        assert str(error)
    else:
        assert all(isinstance(cell.source, str) for cell in got.cells) and len(got.sha256) == 64
