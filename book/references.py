"""The papers that the course cites: who cites them in which words, and their page in the book."""

import re
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = r"[A-Z][\w-]*[a-z]"
OTHERS = rf"(?:, {NAME})*(?:\s+et\s+al\.|\s+and\s+{NAME})?"
CITED = re.compile(rf'\b(({NAME}){OTHERS},?\s+(?:"[^"]+",\s+(?:\w+\s+)?)?((?:19|20)\d\d))\b(?!-)')
MONTHS = {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"}
HEADING = re.compile(r"^# ## (?:(\d+\.\d+) |\d+\. `)?", re.M)


@cache
def papers() -> dict[str, dict]:
    """Key -> authors, year, title, venue, and arxiv, doi or url, where there is one."""
    found = tomllib.loads((ROOT / "book/references.toml").read_text(encoding="utf-8"))["paper"]
    return {key(paper["authors"], paper["year"]): paper for paper in found}


def key(authors: str, year: int | str) -> str:
    """First author and year.

    >>> key("Gu, Yang and Yao", 2021)
    'gu-2021'
    """
    return f"{re.match(NAME, authors)[0].lower()}-{year}"


def citations(text: str) -> dict[str, str]:
    """Key -> the words by which a text cites a paper: of several authors, or of one who is a first author of the list.

    >>> citations('Sun et al. 2018; Yang and Ramanan, "Mixtures of parts", PAMI 2013; in November 2026')
    {'sun-2018': 'Sun et al. 2018', 'yang-2013': 'Yang and Ramanan, "Mixtures of parts", PAMI 2013'}
    """
    listed = {name.rsplit("-", 1)[0] for name in papers()}
    return {key(first, year): words for words, first, year in CITED.findall(text)
            if first.lower() in listed or first not in MONTHS and re.search(r"\bal\.|\band\b", words.split('"')[0])}


def texts() -> dict[str, str]:
    """Every place that may cite, as the book names it: sections, problem sets, modules; and what stands there."""
    found = {}
    for path in sorted(ROOT.glob("sources/chapters/*.py")):
        parts = HEADING.split(path.read_text(encoding="utf-8"))
        found |= {f"section {number}": text for number, text in zip(parts[1::2], parts[2::2], strict=True) if number}
    for path in sorted(ROOT.glob("sources/problems/*.py")):
        found[f"[problems](exercises/{path.stem}/{path.stem}.ipynb)"] = path.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob("posebook/**/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[f"`{name}`"] = path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.glob("book/*.md")), *sorted(ROOT.glob("*.md"))]:
        found[path.name] = path.read_text(encoding="utf-8")
    return {place: re.sub(r"\n\s*(#:? )?", " ", text) for place, text in found.items()}


def link(paper: dict) -> str:
    """Where it can be read, as Markdown, or nothing."""
    if "arxiv" in paper:
        return f" [arXiv:{paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})."
    if "doi" in paper:
        return f" [doi:{paper['doi']}](https://doi.org/{paper['doi']})."
    return f" [Paper]({paper['url']})." if "url" in paper else ""


def page() -> str:
    """The page of the book, as Markdown."""
    where = {place: citations(text) for place, text in texts().items()}
    lines = ["# References", "", "The papers and books that the course builds on, and where it does so."]
    for name, paper in papers().items():
        places = ", ".join(place for place, cited in where.items() if name in cited)
        end = "" if paper["title"].endswith("?") else "."
        venue = f" {paper['venue']}." if "venue" in paper else ""
        lines += ["", f"(ref-{name})=", f"**{paper['authors']} {paper['year']}**. {paper['title']}{end}{venue}"
                  f"{link(paper)} Cited in {places}."]
    return "\n".join(lines) + "\n"
