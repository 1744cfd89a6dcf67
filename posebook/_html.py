"""Pages of HTML that need nothing else: no script, no other file, no request to anywhere."""

import re
from collections.abc import Sequence
from html import escape

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; white-space: nowrap; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid #ccc; }
th:first-child { text-align: left; }
th[scope=row] { font-weight: 400; }
table.words th, table.words td { text-align: left; vertical-align: top; }
svg { max-width: 100%; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: #1a1a1a; }
.scroll { overflow-x: auto; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 1rem; }
.legend span { display: inline-block; width: .9em; height: .9em; }
code { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: .5rem; }
dt { font-weight: 600; }
@media screen { .scroll > svg { max-width: none; } }
@media print {
  body { margin: 0; max-width: none; padding: 0; }
  h1, h2, h3 { break-after: avoid; }
  tr, svg { break-inside: avoid; }
  .scroll { overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; }
}"""


def markup(text: str) -> str:
    """Plain text as HTML, with `code` set as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def page(title: str, body: Sequence[str], *, style: str = "") -> str:
    """A whole page; the title is text, the parts of the body are HTML. ``style``: what comes after the common one."""
    head = (f'<meta charset="utf-8"><title>{escape(title)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>\n{STYLE}\n{style}</style>')
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body><main>\n' + "\n".join(body)
            + "\n</main></body>\n</html>\n")


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    """A table of text, with `code` set as code, that scrolls where it is too wide; the first cell of each row is its
    head. ``words``: sentences, not numbers, which stand on the left.
    """
    lines = ["<tr>" + "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head) + "</tr>"]
    for name, *cells in rows:
        cells = "".join(f"<td>{markup(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{markup(name)}</th>{cells}</tr>')
    kind = ' class="words"' if words else ""
    return (f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table{kind}>'
            f"<caption>{escape(caption)}</caption>\n" + "\n".join(lines) + "</table></div>")


def svg(width: float, height: float, alt: str, shapes: Sequence[str]) -> str:
    """A picture with its alt text."""
    return (f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escape(alt)}">\n'
            + "\n".join(shapes) + "\n</svg>")


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]], str]], alt: str, *, left: int = 160) -> str:
    """A line for each row: its name, bars (color, share of the width) one after another, and a word at their end."""
    shapes, width = [], 480
    for k, (name, parts, end) in enumerate(rows):
        y, x = 26 * k, float(left)
        shapes.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        for color, share in parts:
            shapes.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{width * share:.1f}" height="18" fill="{color}"/>')
            x += width * share
        shapes.append(f'<text x="{x + 6:.1f}" y="{y + 16}">{escape(end)}</text>')
    picture = svg(left + width + 80, 26 * len(rows), alt, shapes)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(alt)}">{picture}</div>'
