"""Explorers that move without a kernel: what they show in each state of a grid, rendered ahead and packed.

:func:`player` returns the HTML of an explorer as it starts, which stands without JavaScript, and writes its frames to a
script file beside ``player.js``, which unpacks and shows them.
"""

import base64
import functools
import hashlib
import html
import importlib
import io
import itertools
import json
import math
import re
import shutil
import zlib
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from grids import GRIDS, UNITS, steps

from posebook._files import write
from posebook._links import See, said

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "book" / ".frames"
APART = {"checks", "cli", "grading", "questions", "_journal.py", "ask.py", "predictions.py", "progress.py", "quiz.py",
         "__pycache__"}  # no explorer shows it
FRAMES, BYTES = 3000, 1_500_000  # of an explorer, at most
IN_MARKUP, IN_TEXT = re.compile(r'(?<=[">])([^"<>]+)(?=["<])'), re.compile(r"(\d[\d.]*)")  # what differs there


def player(name: str, folder: Path) -> str:
    """The HTML of an explorer; its frames go to ``frames-NAME.js`` in the folder, where ``player.js`` lies.

    Both are kept in ``CACHE`` until a source changes.
    """
    names = sorted(path.stem for path in ROOT.glob("posebook/explore/[!_]*.py"))
    if name not in names:
        raise ValueError(f"name: want one of {', '.join(names)}, got {name!r}")
    kept = [CACHE / f"{name}-{digest(name)}.{kind}" for kind in ("js", "html")]
    if not all(path.exists() for path in kept):
        texts = make(name)
        for old in CACHE.glob(f"{name}-*"):
            old.unlink(missing_ok=True)
        for path, text in zip(kept, texts, strict=True):
            write(path, text.encode())
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept[0], folder / f"frames-{name}.js")
    return kept[1].read_text(encoding="utf-8")


def digest(name: str) -> str:
    """Of all that decides what this player shows."""
    whole = hashlib.sha256(repr((version("torch"), GRIDS.get(name), UNITS.get(name))).encode())
    for path in [Path(__file__).resolve(), *sorted(ROOT.glob("posebook/**/*"))]:
        parts = path.relative_to(ROOT).parts
        other = parts[1] == "explore" and path.stem != name and not path.stem.startswith("_")
        if path.is_file() and not other and not APART & {*parts}:
            whole.update(f"\n{'/'.join(parts)}\n".encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def make(name: str) -> tuple[str, str]:
    """The script with the frames, and the HTML."""
    module = importlib.import_module(f"posebook.explore.{name}")
    axes = grid(name, module.State)
    data = json.dumps(pack(render(module, axes)), separators=(",", ":"), ensure_ascii=False)
    script = f'posebookFrames("{name}", "{base64.b64encode(zlib.compress(data.encode(), 9)).decode()}")\n'
    if len(script) > BYTES:
        raise ValueError(f"GRIDS[{name!r}]: want frames of at most {BYTES} bytes, got {len(script)}")
    return script, page(name, module, axes)


# ---------------------------------------------------------------------------------------------------------------------
# The states and what is seen there


def grid(name: str, state: type) -> dict[str, tuple]:
    """The values of each control; while they make too many frames, every second one of the longest."""
    from posebook.explore._controls import Choice, controls

    axes, start = {}, state()
    for field, control in controls(state).items():
        first = getattr(start, field)
        values = GRIDS.get(name, {}).get(field) or (control.options if isinstance(control, Choice) else every(control))
        values = [type(first)(value) for value in values]
        axes[field] = tuple(values if first in values else sorted([*values, first]))
    while math.prod(map(len, axes.values())) > FRAMES:
        field = max(axes, key=lambda field: len(axes[field]))
        axes[field] = axes[field][axes[field].index(getattr(start, field)) % 2 :: 2]
    return axes


def check(see: See) -> None:
    """Raises ValueError where the book has no frame of this state."""
    axes = grid(see.explorer, importlib.import_module(f"posebook.explore.{see.explorer}").State)
    for field, value in see.state.items():
        if field not in axes:
            raise ValueError(f"{see!r}: want fields of {', '.join(axes)}, got {field}")
        if said(value) not in (values := [said(value) for value in axes[field]]):
            raise ValueError(f"{see!r}: want {field} one of {', '.join(values)}; book/grids.py adds others")


def every(control) -> tuple[float, ...]:
    """What the slider of a number can say."""
    if not control.log:
        return steps(control.low, control.high, control.step)
    return tuple(float(f"{10**x:.4g}") for x in steps(math.log10(control.low), math.log10(control.high), control.step))


def render(module: ModuleType, axes: dict[str, tuple]) -> list[list[str]]:
    """The parts of each frame and which challenges it solves, the last control moving first."""
    results = (module.compute(module.State(*state)) for state in itertools.product(*axes.values()))
    return [[*parts(module.view(result)), solved(module, result)] for result in results]


def solved(module: ModuleType, result: object) -> str:
    """A digit for each challenge: 1 if it is solved here."""
    return "".join("01"[challenge.solved(result)] for challenge in module.CHALLENGES)


def parts(view) -> list[str]:
    """The panels, the table, the sentence but for the verdict, the verdict, and the note."""
    panels = [re.sub(r'(?<=base64,)[^"]+', lambda png: smaller(png[0]), panel) for panel in view.panels]
    return [*panels, view.table, view.sentence.removesuffix(view.verdict), view.verdict, view.note]


@functools.lru_cache(4096)
def smaller(png: str) -> str:
    """The same pixels, compressed as well as may be, in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


# ---------------------------------------------------------------------------------------------------------------------
# Packed


def pack(frames: list[list[str]]) -> dict[str, list]:
    """Skeletons and columns of what fills their holes, each stored once."""
    columns = {}
    shared = [share(texts, columns) for texts in zip(*frames, strict=True)]
    return {"parts": shared, "columns": [short(values) for values in columns]}


def share(texts: tuple[str, ...], columns: dict) -> dict[str, list]:
    """One part of all frames: its skeletons, and which of them each frame fills.

    A skeleton is the text around its holes, and for each hole a column with a value for each frame that fills it.
    """
    rows, which = defaultdict(list), []
    for text in texts:
        pieces = (IN_MARKUP if text.startswith("<") else IN_TEXT).split(text)
        rows[tuple(pieces[::2])].append(pieces[1::2])
        which.append(tuple(pieces[::2]))
    numbers = {text: k for k, text in enumerate(rows)}
    skeletons = [skeleton(text, filled, columns) for text, filled in rows.items()]
    return {"skeletons": skeletons, "which": [numbers[text] for text in which]}


def skeleton(text: tuple[str, ...], rows: list[list[str]], columns: dict) -> dict[str, list]:
    """Holes that are always filled alike are none; equal columns are one."""
    around, holes = [text[0]], []
    for values, after in zip(zip(*rows, strict=True), text[1:], strict=True):
        if len(set(values)) == 1:
            around[-1] += values[0] + after
        else:
            holes.append(columns.setdefault(values, len(columns)))
            around.append(after)
    return {"text": around, "holes": holes}


def short(values: tuple[str, ...]) -> dict[str, list]:
    """A column: the distinct values and the place of each among them, or all values if most are distinct."""
    places = {value: k for k, value in enumerate(dict.fromkeys(values))}
    if 2 * len(places) > len(values):
        return {"values": values}
    return {"values": list(places), "at": [places[value] for value in values]}


# ---------------------------------------------------------------------------------------------------------------------
# The page


def page(name: str, module: ModuleType, axes: dict[str, tuple]) -> str:
    """Controls and challenges, which JavaScript brings out, and the view of the first state."""
    from posebook.explore._challenges import listed
    from posebook.explore._controls import controls
    from posebook.explore._page import _STYLE

    start, free, fixed = module.State(), [], []
    for field, control in controls(module.State).items():
        label, unit = html.escape(control.label or field), html.escape(UNITS.get(name, {}).get(field, ""))
        values, at = [said(value) for value in axes[field]], axes[field].index(getattr(start, field))
        if len(values) == 1:
            fixed.append(f"{label} {values[0]} {unit}".strip())
        else:
            kind = slider if getattr(control, "slider", True) else buttons
            free.append(kind(f"{name}-{field}", label, unit, values, at))
    view = module.view(module.compute(start))
    *panels, table, numbers, verdict, note = parts(view)
    here = f"<small>Fixed here, but not in the notebook: {', '.join(fixed)}</small>" if fixed else ""
    return f"""<div class="player" data-name="{name}" role="group" aria-label="Explorer: {name}" tabindex="-1">
{_STYLE}
<form hidden>{"".join(free)}<p>{here} <a href="#{name}?">Link to this state</a></p></form>
<noscript>This moves where JavaScript runs.</noscript>
<div class="posebook">
<div class="pictures" role="img" aria-label="{html.escape(view.sentence)}">{"".join(panels)}</div>
<div class="below"><div class="numbers" role="region" aria-label="Table: {name}" tabindex="0">{table}</div>
<div><p role="status"><span>{html.escape(numbers)}</span><strong>{html.escape(verdict)}</strong><i></i></p>
<small class="note">{html.escape(note)}</small></div></div>
</div>
<div class="goals" hidden>{listed(module.CHALLENGES)}</div>
</div>
"""


def slider(name: str, label: str, unit: str, values: list[str], at: int) -> str:
    """A slider goes from value to value, however far apart they are."""
    text = f"{values[at]} {unit}".strip()
    return f"""<div class="control" data-start="{at}" data-values="{"|".join(values)}" data-unit="{unit}">
<label for="{name}">{label}</label> <input id="{name}" type="range" min="0" max="{len(values) - 1}" value="{at}"
aria-valuetext="{text}" autocomplete="off"> <span aria-hidden="true">{text}</span></div>
"""


def buttons(name: str, label: str, unit: str, values: list[str], at: int) -> str:
    """One of the buttons is down."""
    radio = f'<input type="radio" name="{name}" autocomplete="off"'
    each = " ".join(f'<label>{radio}{" checked" * (k == at)}> {html.escape(value)}</label>'
                    for k, value in enumerate(values))
    return f"""<fieldset class="control" data-start="{at}" data-values="{html.escape("|".join(values))}">
<legend>{label}{unit and f" in {unit}"}</legend> <div>{each}</div></fieldset>
"""
