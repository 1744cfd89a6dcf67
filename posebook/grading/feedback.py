"""The page that a student gets back: the notebook with points, what passed, and the known mistakes; one file for all.

In place of nbgrader's template: it fetches MathJax, is wider than a phone, and leaves readers of a screen alone.
"""

import base64
import html
import re
from functools import cache
from io import BytesIO
from pathlib import Path

from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets import Bool, Unicode, validate

from posebook import _html
from posebook._links import address
from posebook.checks import PROBLEMS
from posebook.checks.example import known

STYLE = """
.marked { border: 1px solid #767676; border-radius: .3rem; padding: 0 .8rem .5rem; margin: 1.5rem 0; }
.plain { margin: 1.5rem 0; }
.head { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .4rem 0; }
.head:empty { display: none; }
.head a { margin-left: auto; }
.text, .comment { overflow-wrap: anywhere; }
.text table { overflow-wrap: normal; }
.text th, .text td { padding: .2rem .8rem .2rem 0; text-align: left; }
.text img { max-width: 100%; height: auto; }
.report td { vertical-align: top; }
.report td:first-child, #toc span, #toc code { white-space: nowrap; }
#toc td code { white-space: normal; }
.comment { border-top: 1px solid #767676; padding-top: .5rem; }
pre[tabindex] { white-space: pre; overflow-wrap: normal; overflow-x: auto; line-height: 1.35; }
@media screen and (max-width: 40rem) {
  #toc tr { display: flex; flex-wrap: wrap; gap: 0 1rem; border-bottom: 1px solid #ccc; padding: .3rem 0; }
  #toc tr:first-child { display: none; }
  #toc th, #toc td { border: none; padding: 0; }
  #toc td:last-child { flex-basis: 100%; }
}
@media print {
  pre[tabindex] { white-space: pre-wrap; overflow-wrap: anywhere; }
  .text table { overflow-wrap: anywhere; }
  .head a { display: none; }
  .head { break-after: avoid; }
}
"""


class FeedbackPage(HTMLExporter):
    """Feedback: a page that needs no other file and no network.

    The set's own formulas are drawn; a student's stay as they were typed.
    """

    raw_template = Unicode(Path(__file__).with_name("feedback.html.j2").read_text(encoding="utf-8"))
    exclude_anchor_links = Bool(True)
    book = Unicode(help="Where the course's web book is published; pages link to it.").tag(config=True)

    @validate("book")
    def _is_address(self, proposal: dict) -> str:
        return proposal["value"] and address(proposal["value"])

    def default_filters(self):
        yield from super().default_filters()
        yield "markup", _html.markup
        yield "formulas", formulas
        yield "seen_in", self.seen_in

    def seen_in(self, says: str, grade_id: str) -> str:
        """The place in the book where the mistake can be seen, "" where there is none; nothing of it is a student's."""
        problem = PROBLEMS.get(grade_id.removeprefix("check-"))
        mistake = known(problem, says) if problem and self.book else None
        return mistake.see.link(self.book) if mistake and mistake.see else ""

    def from_notebook_node(self, notebook: NotebookNode, resources: dict | None = None, **options) -> tuple[str, dict]:
        body, resources = super().from_notebook_node(notebook, resources, **options)
        title = f"{resources['nbgrader']['notebook']}: feedback"
        # of pygments' styles one in which every color is dark enough
        style = HtmlFormatter(style="xcode").get_style_defs(".highlight") + STYLE
        return _html.page(title, [body], style=style), resources


FORMULA = re.compile(r"\$\$[^$]+\$\$|\$(?!\s)[^$]+(?<!\s)\$")


def formulas(page: str, source: str) -> str:
    """A text cell's page with its formulas as pictures, unless a student wrote it."""
    if source.startswith("<div>"):  # see record.harmless
        return page
    for formula in sorted(set(FORMULA.findall(source)), key=len, reverse=True):
        page = page.replace(html.escape(formula, quote=False), picture(formula))
    return page


@cache
def picture(formula: str) -> str:
    """A formula between $ or $$ as an image in HTML, or as it is where matplotlib cannot draw it.

    >>> picture(r"$\\nonesuch{x}$")
    '$\\\\nonesuch{x}$'
    """
    text, svg = formula.strip("$").replace("\n", " ").strip(), BytesIO()
    try:
        depth = math_to_image(f"${text}$", svg, prop=FontProperties(size=12, math_fontfamily="cm"), format="svg")
    except ValueError:
        return html.escape(formula, quote=False)
    source = base64.b64encode(svg.getvalue()).decode()
    image = (f'<img src="data:image/svg+xml;base64,{source}" alt="{html.escape(text)}" '
             f'style="vertical-align: {-depth / 12:.2f}em">')
    return f'<p style="text-align:center">{image}</p>' if formula.startswith("$$") else image
