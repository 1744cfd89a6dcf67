"""What the views of explorers show, read back from their SVG and HTML; and states to show."""

import math
import re
import xml.etree.ElementTree as ET

from posebook.explore._controls import Number, controls

SVG = "{http://www.w3.org/2000/svg}"


def place(node):
    """Where a mark was put."""
    return tuple(map(float, re.match(r"translate\((\S+) (\S+)\)", node.get("transform")).groups()))


def marks(svg):
    """The place of each named mark below a panel or a window in it, in the coordinates of that."""
    root = ET.fromstring(svg) if isinstance(svg, str) else svg
    return {node.get("data-name"): place(node) for node in root.iter(f"{SVG}g") if node.get("data-name")}


def window(panel):
    """The first window of a panel."""
    return ET.fromstring(panel).find(f"{SVG}svg")


def cells(table):
    """The rows of an HTML table as text."""
    return [["".join(cell.itertext()).strip() for cell in row] for row in ET.fromstring(table).iter("tr")]


def any_state(kind, rng):
    """Any state of an explorer: half of its numbers lie at a step of their sliders, as logarithms if these are such."""
    fields = {}
    for name, control in controls(kind).items():
        if isinstance(control, Number):
            to, back = (math.log10, lambda x: 10**x) if control.log else (float, float)
            low, high = to(control.low), to(control.high)
            step = low + control.step * rng.randrange(round((high - low) / control.step) + 1)
            value = back(step if rng.random() < 0.5 else rng.uniform(low, high))
            fields[name] = min(max(round(value, 6), control.low), control.high)
        else:
            fields[name] = rng.choice(control.options)
    return kind(**fields)
