"""Challenges: what to reach by moving an explorer's controls, and who judges whether it was reached.

>>> from types import SimpleNamespace as Result
>>> near = Challenge("At stride {stride}, err by less than {} px.", less(0.05, lambda result: result.error), stride=8)
>>> near.text
'At stride 8, err by less than 0.05 px.'
>>> [near.solved(Result(state=Result(stride=stride), error=0.04)) for stride in (4, 8)]
[False, True]
"""

import html
from collections.abc import Callable, Collection
from dataclasses import dataclass

from posebook.explore import _page
from posebook.explore._page import tag

_STYLE = f"""<style>
.challenges {{max-width: 860px; box-sizing: border-box; margin: 6px 0 0; padding: 8px; border: 1px solid {_page.LINE};
  border-radius: 8px; background: {_page.PAPER}; color: {_page.INK}; font: 13px/1.5 {_page.FONT}; white-space: normal}}
.challenges p {{margin: 0; color: {_page.GRAY}; font-size: 12px}}
.challenges ul {{margin: 0; padding: 0; list-style: none}}
.challenges li {{display: flex; gap: 10px; align-items: baseline; margin: 4px 0 0}}
.challenges b {{flex: 0 0 52px; border: 1px solid {_page.GRAY}; border-radius: 9px; color: {_page.GRAY};
  font: 12px/1.4 {_page.FONT}; text-align: center}}
.challenges .solved b {{border-color: {_page.GREEN}; background: {_page.GREEN}; color: {_page.PAPER}}}
</style>"""


@dataclass(frozen=True)
class Limit:
    """A number of a result has to be below a bound, or above it."""

    bound: float
    value: Callable[[object], float]
    above: bool

    def __call__(self, result: object) -> bool:
        value = self.value(result)
        return value > self.bound if self.above else value < self.bound


def less(bound: float, value: Callable[[object], float]) -> Limit:
    """Below the bound."""
    return Limit(bound, value, False)


def more(bound: float, value: Callable[[object], float]) -> Limit:
    """Above the bound."""
    return Limit(bound, value, True)


class Challenge:
    """What to reach by moving the controls, in one sentence.

    Args:
        text: the sentence; each ``{}`` is the bound of a limit, each ``{field}`` what that field of a state has to be.
        judges: limits, and other functions of a result that say whether it is right.
        state: what fields of the state have to be.
    """

    def __init__(self, text: str, *judges: Callable[[object], bool], **state: object):
        self.limits = tuple(judge for judge in judges if isinstance(judge, Limit))
        self.text = text.format(*(f"{limit.bound:g}" for limit in self.limits), **state)
        self.judges, self.state = judges, state

    def solved(self, result: object) -> bool:
        """Whether the result of a state is what was to be reached."""
        there = all(getattr(result.state, field) == value for field, value in self.state.items())
        return there and all(judge(result) for judge in self.judges)


def listed(challenges: tuple[Challenge, ...], solved: Collection[int] = ()) -> str:
    """As HTML: each challenge with a word that says whether it is solved."""
    rows = []
    for k, challenge in enumerate(challenges):
        word = "solved" if k in solved else "open"
        rows.append(tag("li", tag("b", word), tag("span", html.escape(challenge.text)), class_=word))
    return _STYLE + tag("div", tag("p", "Challenges"), tag("ul", *rows, role="list", aria_label="Challenges"),
                        class_="challenges")
