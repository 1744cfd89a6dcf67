"""The list of references: all that is cited stands in it, and only that; each link is well formed."""

import re
from collections import Counter

import pytest
import references

PAPERS = references.papers()
TEXTS = references.texts()
CITED = {place: references.citations(text) for place, text in TEXTS.items()}


def test_all_that_is_cited_is_listed_and_the_other_way_round():
    missing = {(name, place) for place, cited in CITED.items() for name in cited.keys() - PAPERS.keys()}
    assert missing == set()
    assert PAPERS.keys() - {name for cited in CITED.values() for name in cited} == set()
    citing = {place for place, cited in CITED.items() if cited}
    assert {"section 2.10", "`posebook.decode`", "[problems](exercises/applications/applications.ipynb)"} <= citing


def test_a_preprint_is_named_by_whoever_wrote_it():
    """Its number follows the words of its citation, and is that of the list."""
    owner = {paper["arxiv"]: name for name, paper in PAPERS.items() if "arxiv" in paper}
    for place, text in TEXTS.items():
        for found in re.finditer(r"arXiv:(\d{4}\.\d{4,5})|arxiv\.org/abs/(\d{4}\.\d{4,5})", text):
            before = [*references.citations(text[max(0, found.start() - 60) : found.end()])]
            assert before and owner.get(found[1] or found[2]) == before[-1], (place, found[0])
        for doi in re.findall(r"\bdoi:(10\.\S+?)\.?\s", text):
            assert doi in {paper.get("doi") for paper in PAPERS.values()}, (place, doi)


def test_the_words_of_a_citation_name_the_authors_of_the_list():
    for place, cited in CITED.items():
        for name, words in cited.items():
            authors = PAPERS[name]["authors"]
            names = re.findall(references.NAME, words.split(" et al")[0].split(',"')[0].split(', "')[0])
            listed = re.findall(references.NAME, authors)
            assert " et al" in words and names == listed[:1] or names == listed, (place, words, authors)


def test_entries_are_in_order_well_formed_and_there_once():
    assert [*PAPERS] == sorted(PAPERS)
    rows = [{"authors", "year", "title"} <= paper.keys() <= {"authors", "year", "title", "venue", "arxiv", "doi", "url"}
            for paper in PAPERS.values()]
    assert all(rows) and len(rows) == (references.ROOT / "book/references.toml").read_text().count("[[paper]]")
    for field in ("arxiv", "doi", "url", "title"):
        values = Counter(paper[field].lower() for paper in PAPERS.values() if field in paper)
        assert values and max(values.values()) == 1
    for paper in PAPERS.values():
        assert len(paper.keys() & {"arxiv", "doi", "url"}) <= 1 and 1900 < paper["year"] < 2100
        assert re.fullmatch(r"\d\d(0[1-9]|1[0-2])\.\d{4,5}", paper.get("arxiv", "1711.08229"))
        assert re.fullmatch(r"10\.\d{4,9}/[\w.()/-]+", paper.get("doi", "10.1000/x"))
        assert paper.get("url", "https://").startswith("https://")
        if "arxiv" in paper:  # a paper appears when its preprint does, or later
            assert 2000 + int(paper["arxiv"][:2]) <= paper["year"] or paper["title"].startswith("Permutation p-values")


def test_the_page_has_all_of_them_with_their_links_and_places():
    page = references.page()
    for name, paper in PAPERS.items():
        (entry,) = re.findall(rf"^\(ref-{name}\)=\n(.+)$", page, re.M)
        assert entry.startswith(f"**{paper['authors']} {paper['year']}**. {paper['title']}")
        assert entry.count("](https://") == bool(paper.keys() & {"arxiv", "doi", "url"})
    assert "[arXiv:1910.06278](https://arxiv.org/abs/1910.06278). Cited in section 2.10, `posebook.decode`" in page


@pytest.mark.parametrize("text, found", [
    ("Sun et al. 2018, arXiv:1711.08229; Nibali et\n    al. 2018", {"sun-2018", "nibali-2018"}),
    ("Casiez, Roussel and Vogel 2012, and Hartley 1997", {"casiez-2012", "hartley-1997"}),
    ("Natarajan et al., \"Learning\", NeurIPS 2013", {"natarajan-2013"}),
    ("VOC 2007 has eleven; Over 2000 draws; seed 2019; in November 2026; CVPR 2020; 2026-11-26", set()),
    ("In December 2026; Python 2024; Since 2025; from May 2026; between March and April 2027; Paris, June 2026", set()),
    ("Nobody and Noone 2031; Nobody et al. 2032; Hartley 2033", {"nobody-2031", "nobody-2032", "hartley-2033"}),
])
def test_what_a_citation_is(text, found):
    assert references.citations(re.sub(r"\n\s*", " ", text)).keys() == found
