"""What sphinx and myst-nb lack for this book: MathML, alt texts of outputs, links to sections and to states of
explorers, plain tables.
"""

import re
import zlib
from html import unescape
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from docutils import nodes
from latex2mathml.converter import convert_to_element
from myst_nb.core.render import NbElementRenderer
from references import CITED, key, papers
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.transforms import SphinxTransform

from posebook._links import CHAPTER_OF, See

SOURCE = re.compile(r"(?<!edition, )\b([Ss]ection\s(\d+\.\d+)|arXiv:(\d{4}\.\d{4,5}))\b")
PAIR = r'(\w+)\s+(-?\d+(?:\.\d+)?|"[^"]+")'
STATE = re.compile(rf"\s+at\s+{PAIR}(?:(?:,|\s+and)\s+{PAIR})*")
APART = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title, nodes.math, pending_xref, desc_signature)
OPEN = tuple("([{|‖=+−×⋅,;<>≤≥≈∼→∝:/")  # after these a minus is a sign


def mathml(latex: str, display: str) -> str:
    """A formula as MathML, spaced as TeX does."""
    latex = latex.replace(r"\begin{aligned}", r"\begin{array}{rl}").replace(r"\end{aligned}", r"\end{array}")
    math = convert_to_element(latex, display=display)
    for row in list(math.iter()):
        row.text = unescape(row.text or "").replace("~", "∼")
    for row in list(math.iter()):
        join_letters(row)
        space(row)
    return tostring(math, encoding="unicode")


def join_letters(row: Element) -> None:
    """An upright word is one identifier, not one for each letter."""
    letters = list(row)
    if len(letters) > 1 and all(child.get("mathvariant") == "normal" for child in letters):
        word = Element("mi")
        word.text = "".join(child.text or "" for child in letters)
        row[:] = [word]


def is_name(child: Element) -> bool:
    """Whether this is the name of a function, with or without an index."""
    head = child[0] if child.tag in ("msub", "msup", "msubsup", "munder") and len(child) else child
    return head.tag in ("mi", "mo") and len(head.text or "") > 1 and head.text.isalpha()


def touches(child: Element) -> bool:
    """Whether a function's name needs a space before this: not before an operator or a parenthesis."""
    first = child[0] if child.tag == "mrow" and len(child) else child
    return first.tag not in ("mo", "mspace") or is_name(first)


def space(row: Element) -> None:
    """A thin space around a function's name; none after a sign."""
    before = None
    for child in list(row) if row.tag in ("mrow", "math", "mtd") else ():
        if child.text == "−" and (before is None or before.tag == "mspace" or before.text in OPEN):
            child.set("form", "prefix")
        if child.tag == "mo" and is_name(child):
            child.tag, child.attrib = "mi", {}
        if before is not None and (is_name(before) or is_name(child)) and touches(before) and touches(child):
            row.insert(list(row).index(child), Element("mspace", width="0.167em"))
        before = child


def inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{mathml(node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def with_alt(self, data, render=NbElementRenderer.render_image) -> list[nodes.Element]:
    """An output's picture with the alt text that the notebook stores beside it."""
    (image,) = render(self, data)
    image["alt"] = data.output_metadata.get(data.mime_type, {}).get("alt", "")
    return [image]


class Links(SphinxTransform):
    """Sections and preprints that are named in words become links, and citations lead to the references."""

    default_priority = 500

    def apply(self, **_: object) -> None:
        for pattern, link in ((SOURCE, self.link), (CITED, self.citation)):
            for text in list(self.document.findall(nodes.Text)):
                if not pattern.search(text) or self.is_apart(text):
                    continue
                parts, end = [], 0
                for found in pattern.finditer(text):
                    parts += [nodes.Text(text[end : found.start()]), link(*found.groups())]
                    end = found.end()
                text.parent.replace(text, [*parts, nodes.Text(text[end:])])

    def is_apart(self, node: nodes.Node) -> bool:
        while node := node.parent:
            if isinstance(node, APART):
                return True
        return False

    def link(self, words: str, section: str | None, preprint: str | None) -> nodes.Element:
        if preprint:
            return nodes.reference(words, words, refuri=f"https://arxiv.org/abs/{preprint}")
        return self.place(words, f"section-{section}")

    def citation(self, words: str, first: str, year: str) -> nodes.Node:
        name = key(first, year)
        known = name in papers() and self.env.docname != "references"
        return self.place(words, f"ref-{name}") if known else nodes.Text(words)

    def place(self, words: str, label: str) -> nodes.Element:
        target = {"reftarget": label, "refexplicit": True, "refwarn": True}
        inner = nodes.inline(words, words)
        return pending_xref("", inner, refdomain="std", reftype="ref", refdoc=self.env.docname, **target)


def state_of(name: str, after: str) -> tuple[See, str]:
    """The state that stands in words after an explorer's name, and these words.

    >>> state_of("flip", ' at stride 4 and shift "one cell", where one cell is too far')
    (See('flip', stride='4', shift='one cell'), ' at stride 4 and shift "one cell"')
    """
    found = STATE.match(after)
    words = found[0] if found else ""
    return See(name, **{field: value.strip('"') for field, value in re.findall(PAIR, words)}), words


class Joined(SphinxTransform):
    """The lines of a paragraph in Markdown are one text, as they are in a docstring."""

    default_priority = 498

    def apply(self, **_: object) -> None:
        for row in [row for row in self.document.findall(nodes.TextElement) if len(row) > 1]:
            joined = []
            for child in row:
                if isinstance(child, nodes.Text) and joined and isinstance(joined[-1], nodes.Text):
                    joined[-1] = nodes.Text(joined[-1] + child)
                else:
                    joined.append(child)
            if len(joined) < len(row):
                row[:] = joined


class Explorers(SphinxTransform):
    """The explorer *decoding* at stride 16 and tau 4: such words lead to that state."""

    default_priority = 499

    def apply(self, **_: object) -> None:
        for name in list(self.document.findall(nodes.emphasis)):
            row, at = name.parent, name.parent.index(name)
            before = row[at - 1].astext() if at else ""
            word = re.search(r"[Ee]xplorer\s$", before)
            if not word or name.astext() not in CHAPTER_OF or isinstance(row, APART):
                continue
            after = row[at + 1].astext() if row[at + 1 : at + 2] and isinstance(row[at + 1], nodes.Text) else ""
            see, state = state_of(name.astext(), after)
            up = "../" * self.env.docname.count("/")
            link = nodes.reference("", "", nodes.Text(word[0]), name.deepcopy(), nodes.Text(state),
                                   refuri=up + see.address, internal=True)
            rest = [nodes.Text(after[len(state) :])] if after else []
            row[at - 1 : at + 1 + len(rest)] = [nodes.Text(before[: word.start()]), link, *rest]


class Names(SphinxTransform):
    """A name of the library in the text leads to its place in the reference."""

    default_priority = 500

    def apply(self, **_: object) -> None:
        for name in list(self.document.findall(nodes.literal)):
            if re.fullmatch(r"posebook(\.\w+)+", name.astext()) and not isinstance(name.parent, (*APART, nodes.inline)):
                target = {"refdomain": "py", "reftype": "obj", "reftarget": name.astext(), "refdoc": self.env.docname}
                name.replace_self(pending_xref("", name.deepcopy(), **target))


class Headless(SphinxTransform):
    """A table whose head is empty has none: its first column says what its rows are."""

    default_priority = 500

    def apply(self, **_: object) -> None:
        for head in list(self.document.findall(nodes.thead)):
            if not head.astext().strip():
                next(iter(head.parent.findall(nodes.colspec)))["stub"] = 1
                head.parent.remove(head)


def is_field(app, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Fields of a named tuple stand in its signature and docstring; Python's own words on them say nothing."""
    return True if type(member).__name__ == "_tuplegetter" else None


def escape(app, what: str, name: str, member: object, options: object, lines: list[str]) -> None:
    """``(result, *arguments)`` in a docstring is no emphasis."""
    lines[:] = [re.sub(r"(, )\*(?=\w)", r"\1\*", line) for line in lines]


def plain_corners(app, page: str, template: str, context: dict, tree: nodes.Node | None) -> None:
    """An empty corner of a table is no heading."""
    if "body" in context:
        context["body"] = context["body"].replace('<th class="head"><p></p></th>', "<td></td>")


def setup(app) -> dict:
    NbElementRenderer.render_image = with_alt
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.add_transform(Joined)
    app.add_transform(Explorers)
    app.add_transform(Links)
    app.add_transform(Names)
    app.add_transform(Headless)
    app.connect("html-page-context", plain_corners)
    app.connect("autodoc-process-docstring", escape)
    app.connect("autodoc-skip-member", is_field)
    return {"env_version": zlib.crc32(Path(__file__).read_bytes())}  # a change here: everything is read anew
