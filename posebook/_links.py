"""Where something can be seen: a state of an explorer, as a line of code to run and as a place in the web book.

>>> see = See("decoding", "the circle is off", stride=16, tau=0.01)
>>> print(see)
See it: run `from posebook.explore import decoding; decoding.explore(stride=16, tau=0.01)`: the circle is off.
>>> see.link("https://example.org/book/")
'https://example.org/book/chapters/02_decoding.html#decoding?stride=16&tau=0.01'
"""

from urllib.parse import urlencode, urlsplit

CHAPTERS = {
    "01_representations": "target epochs",
    "02_decoding": "decoding temperature asymmetry flip fusion",
    "03_multi_person": "tags limbs precision",
    "04_robustness": "angle dropout calibration conformal masking",
    "05_applications": "cameras sequence marker gap",
}
CHAPTER_OF = {explorer: chapter for chapter, explorers in CHAPTERS.items() for explorer in explorers.split()}


class See:
    """A state of an explorer, and what to look at there. What ``state`` does not name is where the explorer starts.

    ``See`` itself knows no state: ``book/frames.py`` says whether the book has this one, and a test asks it.
    """

    def __init__(self, explorer: str, look: str = "", /, **state: float | str):
        if explorer not in CHAPTER_OF:
            raise ValueError(f"explorer: want one of {', '.join(CHAPTER_OF)}, got {explorer!r}")
        self.explorer, self.look, self.state = explorer, look, state

    @property
    def line(self) -> str:
        """Code that opens the explorer in this state, in a cell of any notebook."""
        start = ", ".join(f"{name}={value!r}" for name, value in self.state.items())
        return f"from posebook.explore import {self.explorer}; {self.explorer}.explore({start})"

    @property
    def address(self) -> str:
        """The place in the book, seen from its first page."""
        state = urlencode({name: said(value) for name, value in self.state.items()})
        return f"chapters/{CHAPTER_OF[self.explorer]}.html#{self.explorer}?{state}"

    def link(self, book: str) -> str:
        """The place in a book that is published at this address."""
        return f"{book.rstrip('/')}/{self.address}"

    def __str__(self) -> str:
        return f"See it: run `{self.line}`" + (f": {self.look}." if self.look else ".")

    def __repr__(self) -> str:
        return f"See({', '.join([repr(self.explorer), *(f'{k}={v!r}' for k, v in self.state.items())])})"


def said(value: float | str) -> str:
    """A control's value as the book's pages and links say it.

    >>> said(16), said(0.25), said(3e-05), said("left wrist")
    ('16', '0.25', '3e-5', 'left wrist')
    """
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def address(text: str) -> str:
    """The address of a published book, with http or https, if this is one.

    Raises:
        ValueError: it is none.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good or not text.isprintable() or set(text) & set(" \"'<>\\`"):
        raise ValueError(f"want an address such as https://example.org/book, got {text!r}")
    return text
