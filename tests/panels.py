"""What the views of explorers show, read back from their SVG and HTML."""

import re
import xml.etree.ElementTree as ET

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
