"""What came of an evaluation, for a terminal and as one page of HTML that needs nothing else."""

from html import escape

import numpy as np

from posebook._html import bars, svg, table
from posebook._html import page as html_page
from posebook.diagnosis import GOOD, KINDS, Diagnosis, PoseErrors
from posebook.evaluation import RECALLS, THRESHOLDS, Evaluation

COLORS = {"good": "#CFE8DC", "jitter": "#56B4E9", "inversion": "#E69F00", "swap": "#CC79A7", "miss": "#D55E00",
          "false positive": "#777777", "missed person": "#333333"}
MEANING = {"jitter": "near its place, farther than annotators are from each other",
           "inversion": "at the same person's place on the other side, left for right",
           "swap": "at another person's place",
           "miss": "near no such place",
           "false positive": "a detection without a person: nobody is there, or another detection has her already",
           "missed person": "a person without a detection"}

Row = tuple[str, ...]


def text(diagnosis: Diagnosis) -> str:
    """The ten lines of COCO, what each kind of error costs, and each keypoint's errors."""
    parts = [str(diagnosis.evaluation), "", "Where the AP goes", *_aligned(*kinds(diagnosis))]
    for k, errors in enumerate(diagnosis.errors):
        title = f"Keypoint by keypoint: {errors.category}" if len(diagnosis.errors) > 1 else "Keypoint by keypoint"
        parts += ["", title, *_aligned(*keypoints(diagnosis, k))]
    return "\n".join([*parts, *("\n" + note for note in notes(diagnosis))])


def kinds(diagnosis: Diagnosis) -> tuple[Row, list[Row]]:
    """Head and rows: how often there is each kind of error, the AP without it, and what it costs."""
    counts = sum((errors.counts.sum(0) for errors in diagnosis.errors), np.zeros(len(KINDS), int))
    number = dict(zip(KINDS, counts.tolist(), strict=True))
    number["false positive"] = sum(len(errors.false_positives) for errors in diagnosis.errors)
    number["missed person"] = sum(len(errors.missed) for errors in diagnosis.errors)
    rows = []
    for kind, mended in diagnosis.mended.items():
        share = f"{number[kind] / counts.sum():.1%} of keypoints" if kind in KINDS and counts.sum() else ""
        rows.append((kind, f"{number[kind]:,}", share,
                     *_cost(diagnosis.evaluation.stats["AP"], mended.stats["AP"])))
    return ("error", "number", "share", "AP without", "cost"), rows


def keypoints(diagnosis: Diagnosis, k: int) -> tuple[Row, list[Row]]:
    """Head and rows: for each keypoint of the ``k``-th category the share of each kind, and what its errors cost."""
    errors, rows = diagnosis.errors[k], []
    for name, counts, ap in zip(errors.keypoints, errors.counts, diagnosis.keypoints[k].tolist(), strict=True):
        labeled = counts.sum()
        shares = [f"{n / labeled:.1%}" if labeled else "-" for n in counts]
        rows.append((name, f"{labeled:,}", *shares, *_cost(diagnosis.category_ap[k], ap)))
    return ("keypoint", "labeled", *KINDS, "AP without", "cost"), rows


def notes(diagnosis: Diagnosis) -> list[str]:
    """What most people would not expect of these very data."""
    out = []
    if any(0 in errors.person or 0 in errors.missed for errors in diagnosis.errors):
        out.append("Note: the person with the annotation id 0 counts as never found, because pycocotools writes 0 for "
                   "\"no match\". Count ids from 1.")
    return out


def _cost(ap: float, mended: float) -> tuple[str, str]:
    return ("-", "-") if ap < 0 or mended < 0 else (f"{mended:.3f}", f"{mended - ap:.3f}")


def _aligned(head: Row, rows: list[Row]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
            for row in (head, *rows)]


# One page

def page(diagnosis: Diagnosis, annotations: str, results: str) -> str:
    """The same as HTML, with plots: no other file, no script, no request to anywhere."""
    gist = f"AP {diagnosis.evaluation.stats['AP']:.3f}"
    body = [f"<h1>Keypoint evaluation: {gist}</h1>",
            f"<p>Detections in <code>{escape(results)}</code>, people in <code>{escape(annotations)}</code>.</p>",
            *(f"<p>{escape(note)}</p>" for note in notes(diagnosis)),
            "<h2>COCO's ten figures</h2>",
            table("Average precision and recall; -1 where there is nobody to find", ("figure", "value"),
                   [(name, f"{value:.3f}") for name, value in diagnosis.evaluation.stats.items()]),
            "<h2>Precision and recall</h2>", _curves(diagnosis.evaluation),
            "<h2>Where the AP goes</h2>", _costs(diagnosis),
            table("Each kind of error, and the AP if it alone were mended", *kinds(diagnosis)),
            "<dl>" + "".join(f"<dt>{kind}</dt><dd>{meaning}</dd>" for kind, meaning in MEANING.items()) + "</dl>",
            "<h2>Keypoint by keypoint</h2>"]
    for k, errors in enumerate(diagnosis.errors):
        body += [f"<h3>{escape(errors.category)}</h3>", _shares(errors),
                 table(f"Errors of {errors.category}, and its AP if one keypoint had none", *keypoints(diagnosis, k))]
    return html_page(f"Keypoint evaluation: {gist}", body)


def _costs(diagnosis: Diagnosis) -> str:
    ap = diagnosis.evaluation.stats["AP"]
    gains = {kind: mended.stats["AP"] - ap if ap >= 0 and mended.stats["AP"] >= 0 else 0.0
             for kind, mended in diagnosis.mended.items()}
    most = max(0.01, *gains.values())
    rows = [(kind, [(COLORS[kind], max(0.0, gain) / most)], f"{gain:.3f}") for kind, gain in gains.items()]
    return bars(rows, "What each kind of error costs in AP: " + ", ".join(f"{k} {g:.3f}" for k, g in gains.items()))


def _shares(errors: PoseErrors) -> str:
    rows = []
    for name, counts in zip(errors.keypoints, errors.counts, strict=True):
        shares = counts / max(1, counts.sum())
        rows.append((name, list(zip((COLORS[kind] for kind in KINDS), shares.tolist(), strict=True)),
                     f"{shares[GOOD]:.0%} good" if counts.sum() else "none labeled"))
    legend = "".join(f'<li><span style="background: {COLORS[kind]}"></span> {kind}</li>' for kind in KINDS)
    alt = f"Share of each kind of error for each keypoint of {errors.category}; the numbers are in the table below"
    return f'<ul class="legend">{legend}</ul>' + bars(rows, alt)


def _curves(evaluation: Evaluation) -> str:
    """Precision over recall for each threshold of OKS, mean over the categories in which there is somebody to find."""
    left, top, size = 50, 10, 340
    shapes = [f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="#999"/>']
    for tick in (0, 0.5, 1):
        shapes += [f'<text x="{left + size * tick}" y="{top + size + 18}" text-anchor="middle">{tick:g}</text>',
                   f'<text x="{left - 8}" y="{top + size * (1 - tick) + 5}" text-anchor="end">{tick:g}</text>']
    shapes += [f'<text x="{left + size / 2}" y="{top + size + 38}" text-anchor="middle">recall</text>',
               f'<text transform="translate(14 {top + size / 2}) rotate(-90)" text-anchor="middle">precision</text>']
    precision = evaluation.precision[..., 0]
    precision = precision[:, :, (precision > -1).all((0, 1))]
    heights = precision.mean(-1) if precision.size else []
    for t, (threshold, line) in enumerate(zip(THRESHOLDS, heights, strict=False)):
        points = " ".join(f"{left + size * recall:.1f},{top + size * (1 - height):.1f}"
                          for recall, height in zip(RECALLS, line, strict=True))
        color, x, y = f"hsl(205 80% {80 - 7 * t}%)", left + size + 20, top + 24 * t
        shapes += [f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>',
                   f'<rect x="{x}" y="{y}" width="14" height="14" fill="{color}"/>',
                   f'<text x="{x + 20}" y="{y + 12}">OKS {threshold:.2f}: AP {line.mean():.3f}</text>']
    alt = "Precision over recall for each least OKS of a match: AP " + ", ".join(
        f"{line.mean():.3f} at {threshold:.2f}" for threshold, line in zip(THRESHOLDS, heights, strict=False))
    return svg(left + size + 190, top + size + 46, alt, shapes)
