"""RESULTS.md and its plots, from what results.json holds."""

import re
from pathlib import Path

from _measure import FLOORS

AXES = {
    "batch": "images in a batch",
    "cells": "cells in a map",
    "people": "people in an image",
    "images": "images in a set",
}
HEAD = """\
# posebook beside its peers

`make bench` makes this page (`make bench QUICK=1` in some two minutes, roughly); edit nothing here. posebook and its
peers run in turns in one process, so a busy machine slows both. A ratio says how many times as fast posebook is, as
the median over all turns, with the lowest and the highest in parentheses: below 1 it is slower. The median decides
whether a goal is met. "A read", "an exp", "a softmax" and "an argmax" of the maps are floors, which posebook's work
contains, and so are "its peaks" for people read off maps, "its numbers packed" for results as JSON holds them, and "a
bare slider" that shows its number: there the ratio says how many times as long posebook takes. "mmpose's loop" is the
peer's definition in numpy, one sample and one keypoint at a time.
"""


def page(results: dict) -> str:
    runs = sorted(results["runs"])
    parts = [HEAD, "\n".join(machine(results)), *warnings(results), "\n".join(goals(results))]
    grown = [growth(axis, results) for axis in AXES if panels(results, axis)]
    parts += ["## How cost grows", *grown] if grown else []
    for name in runs:
        parts += [section(name, results)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def machine(results: dict) -> list[str]:
    """Of results.json, or of what was taken from another machine."""
    here = results["machine"]
    parts = [here["card"]] if "card" in here else []
    parts += [here["processor"], f"{here['processors']} processors", f"{here['memory_gb']} GB of memory",
              here["system"]]
    return ["- " + ", ".join(parts), "- " + ", ".join(map(" ".join, results["versions"].items()))]


def warnings(results: dict) -> list[str]:
    runs, many = results["runs"], results["machine"]["processors"]
    quick = [name for name in runs if runs[name]["quick"]]
    busy = max((run["load"] for run in runs.values() if "elsewhere" not in run), default=0)
    said = []
    if quick:
        which = "all of it" if len(quick) == len(runs) else ", ".join(quick)
        said.append(f"**Quick run** ({which}): little data and three turns, good for a first look only.")
    if busy > 0.25 * many:
        said.append(f"**The machine was busy**: a load of {busy} on {many} processors before the run. Bare times say "
                    "nothing then, and ratios with several threads little.")
    return said


def goals(results: dict) -> list[str]:
    """What failed and what was missed, first of all."""
    judged = [row for row in results["rows"] if row["met"] is not None]
    taken = sum("elsewhere" in results["runs"][row["benchmark"]] for row in judged)
    missed = [row for row in judged if not row["met"]]
    failed = [f"- **{name} failed**: {plain(run['failed'])}"
              for name, run in sorted(results["runs"].items()) if run["failed"]]
    lines = ["## Failed", "", *failed, ""] if failed else []
    floors = {key(row): verdict(row) for row in results["rows"] if row["peer"] in FLOORS}
    lines += ["## Missed goals", "", f"{len(judged) - len(missed)} of {len(judged)} goals are met"
              + f"; {taken} of the {len(judged)} are another machine's" * (taken > 0) + ". "
              + ("Missed:" if missed else "None is missed."), ""]
    for row in sorted(missed, key=lambda row: row["benchmark"]):
        threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
        floor = "" if row["peer"] in FLOORS or key(row) not in floors else f"; it takes {floors[key(row)]}"
        lines.append(f"- [{row['benchmark']}](#{row['benchmark']}), {plain(row['work'])}, {threads}: {verdict(row)}; "
                     f"the goal is {goal(row)}{floor}")
    return lines


def key(row: dict) -> tuple[str, str, int]:
    """Of the rows of one work."""
    return row["benchmark"], row["work"], row["threads"]


def section(name: str, results: dict) -> str:
    run, rows = results["runs"][name], [row for row in results["rows"] if row["benchmark"] == name]
    about = " ".join(run["about"].split())
    load = f", load before {run['load']}" if "load" in run else ""  # not known of every machine
    lines = [f"## {name}", "", about, "", f"{run['date']}, {run['seconds']} s{load}"
             + (", quick run." if run["quick"] else "."), ""]
    if "elsewhere" in run:
        lines += ["On another machine:", "", *machine(run["elsewhere"]), ""]
    if run["failed"]:
        lines += [f"**Failed**: {plain(run['failed'])}", ""]
    if rows:
        lines += ["| work | threads | posebook | peer | its figure | ratio | goal | in words |",
                  "|---|--:|--:|---|--:|--:|---|---|"]
    works = list(dict.fromkeys(row["work"] for row in rows))
    return "\n".join(lines + [entry(row) for row in sorted(rows, key=lambda row: works.index(row["work"]))])


def entry(row: dict) -> str:
    """One row of a table."""
    ratio = ""
    if row["ratio"]:
        low, middle, high = map(number, row["ratio"])
        ratio = f"{middle} ({low} to {high})"
    said = verdict(row, bold=True)
    if row["met"] is not None:
        said += "; goal met" if row["met"] else "; **goal missed**"
    figures = [row["ours"], row["theirs"]]
    ours, theirs = ("" if value is None else f"{number(value)} {row['unit']}" for value in figures)
    package, rest = re.match(r"([\w-]*)(.*)", row["peer"]).groups()
    peer = f"{package} {row['version']}".strip() + rest
    cells = (row["work"], row["threads"], ours, peer, theirs, ratio, goal(row), said)
    return "| " + " | ".join(plain(str(cell)) for cell in cells) + " |"


def verdict(row: dict, bold: bool = False) -> str:
    """The row in words; a loss is called one."""
    if row["ours"] is None or row["peer"] and not row["ratio"]:
        return row["note"]
    note = f" ({row['note']})" if row["note"] else ""
    if not row["ratio"]:
        return f"{number(row['ours'])} {row['unit']}{note}"
    low, middle, high = row["ratio"]
    words = f"{number(middle)} times {row['peer']}"
    if row["peer"] in FLOORS:
        return words + note
    if number(middle) == "1.00":
        return f"{words}: equal{note}"
    words = f"{words}: faster" if middle > 1 else f"**{words}: slower**" if bold else f"{words}: slower"
    return words + (", though the spread includes 1" if low < 1 < high else "") + note


def goal(row: dict) -> str:
    if not row["goal"]:
        return ""
    sign, bound = row["goal"].split()
    unit = "x" if row["ratio"] or row["peer"] else f" {row['unit']}"
    return f"at {'least' if sign == '>=' else 'most'} {bound}{unit}"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# ---------------------------------------------------------------------------------------------------------------------
# How cost grows


def panels(results: dict, axis: str) -> dict[str, dict[str, dict[float, float]]]:
    """For each work, name to x to ms, with the fewest threads that were tried."""
    rows = [row for row in results["rows"] if axis in row["at"] and row["ours"] is not None]
    fewest = min((row["threads"] for row in rows), default=1)
    found: dict[str, dict[str, dict[float, float]]] = {}
    for row in rows:
        if row["threads"] == fewest:
            lines, x = found.setdefault(row["work"].rpartition(", ")[0], {"posebook": {}}), row["at"][axis]
            lines["posebook"][x] = row["ours"]
            if row["theirs"] is not None:
                lines.setdefault(row["peer"], {})[x] = row["theirs"]
    return {work: lines for work, lines in found.items() if len(lines["posebook"]) > 1}


def growth(axis: str, results: dict) -> str:
    """A plot, and one sentence of what it shows."""
    found, said, read = panels(results, axis), [], []
    for work, lines in found.items():
        times = {name: number(at[max(at)] / at[min(at)]) for name, at in lines.items()}
        others = ", ".join(f"{name} {value}" for name, value in times.items() if name != "posebook")
        said.append(f"{work} takes {times['posebook']} times as long" + f" ({others})" * bool(others))
        read.append(f"{work}: " + ", ".join(f"{name} {number(at[max(at)])} ms" for name, at in lines.items()))
    x = [value for lines in found.values() for value in lines["posebook"]]
    alt = (f"Time in ms over {AXES[axis]}, both on logarithmic scales, a panel for each work. At {max(x):,}, "
           + "; ".join(read) + ".")
    return f"![{plain(alt)}]({axis}.svg)\n\nFrom {min(x):,} to {max(x):,} {AXES[axis]}, " + "; ".join(said) + "."


def plots(results: dict, folder: Path) -> None:
    """One SVG for each axis along which something was measured."""
    for axis in AXES:
        found = panels(results, axis)
        file = folder / f"{axis}.svg"
        file.unlink(missing_ok=True)
        if found:
            plot(found, AXES[axis], file)


def plot(found: dict, label: str, file: Path) -> None:
    import matplotlib

    from posebook import draw

    with matplotlib.rc_context({"svg.hashsalt": "posebook", "svg.fonttype": "none", "figure.facecolor": "white"}):
        fig, all_axes = draw.axes(len(found), width=3.2 * len(found) + 0.8, height=3.4)
        for ax, (work, lines) in zip(all_axes, found.items(), strict=True):
            values = {name: {x: (ms, None) for x, ms in at.items()} for name, at in lines.items()}
            draw.measured(ax, values, legend=False, title=work, xlabel=label, xscale="log", yscale="log")
            ax.legend(fontsize=7)
        all_axes[0].set_ylabel("time (ms)")
        fig.savefig(file, metadata={"Date": None})
