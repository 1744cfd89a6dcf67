"""JSON files of records, as COCO writes them: read, and checked one record at a time."""

import json
import reprlib
from collections.abc import Callable
from pathlib import Path

from posebook._args import fail, is_whole

LISTS = ("images", "annotations", "categories")


def read_json(path: Path) -> object:
    """What a JSON file holds, or an error that names the file."""
    if path.is_dir():
        fail(str(path), "a COCO JSON file", "a folder")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        fail(str(path), "JSON", f"{error.msg} at line {error.lineno}, column {error.colno}")
    except (ValueError, RecursionError) as error:    # not text, a number of thousands of digits, brackets in brackets
        fail(str(path), "JSON", str(error))


def coco_lists(data: object, where: str) -> dict:
    """The data, which are an object with COCO's three lists, or an error."""
    got = [kind for kind in LISTS if isinstance(data, dict) and isinstance(data.get(kind), list)]
    if len(got) < len(LISTS):
        fail(where, "a COCO file, an object with the lists " + ", ".join(LISTS), ", ".join(got) or "none of them")
    return data


def by_id(records: list, where: str) -> dict[int, dict]:
    """The records of one list by their ids, in the list's order."""
    try:
        found = {record["id"]: record for record in records}
    except (KeyError, TypeError):
        found = {}
    if len(found) == len(records) and set(map(type, found)) <= {int}:
        return found
    found = {}  # one by one: for a number of another type, or to name the first bad record
    for k, record in enumerate(records):
        if not isinstance(record, dict):
            fail(f"{where}[{k}]", "an object", short(record))
        number = take(record, "id", f"{where}[{k}]", "a whole number of its own",
                      lambda value: is_whole(value) and value not in found)
        found[number] = record
    return found


Check = Callable[[object], bool]


def take(record: dict, key: str, where: str, want: str, ok: Check, each: Check | None = None):
    """``record[key]``, or an error that names the record, the key, what was wanted and what came."""
    if key not in record:
        fail(f"{where}: {key}", want, "nothing")
    if not ok(record[key]):
        fail(f"{where}: {key}", want, short(record[key], each))
    return record[key]


def short(value: object, each: Check | None = None) -> str:
    """A value as an error shows it: a list's first entry that is not as ``each`` wants, else beginning and length."""
    if each is not None and isinstance(value, list):
        for k, entry in enumerate(value):
            if not each(entry):
                return f"{reprlib.repr(entry)} at place {k} of {len(value)}, counted from 0"
    return reprlib.repr(value) + (f" of length {len(value)}" if isinstance(value, list) else "")


def is_number(value: object) -> bool:
    """A number; 1e30 keeps out infinity, NaN and what float32 cannot hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def is_amount(value: object) -> bool:
    """A number, 0 or more."""
    return is_number(value) and value >= 0


def numbers(value: object, n: int) -> bool:
    """A list of ``n`` numbers."""
    return isinstance(value, list) and len(value) == n and all(map(is_number, value))


def distinct_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in value) and len(set(value)) == len(value)
