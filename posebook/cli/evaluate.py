"""``posebook evaluate``: COCO's ten lines, what each kind of error costs, and each keypoint's errors."""

import argparse
import sys
from pathlib import Path

EXAMPLE = """examples:
  posebook evaluate person_keypoints_val2017.json results.json
  posebook evaluate dogs.json results.json --sigmas .026,.05,.05,.07 --html report.html"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "evaluate", help="COCO's keypoint AP, to the last bit, and which errors cost how much of it",
        description="Evaluate keypoint detections as COCO does, and say where the AP goes.", epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("annotations", type=Path, help="COCO keypoint annotations, JSON")
    command.add_argument("results", type=Path, help="COCO keypoint results, JSON")
    command.add_argument("--sigmas", type=sigmas, metavar="S1,S2,...",
                         help="annotators' spread of each keypoint, in units of sqrt(area); known for COCO's 17")
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots, too")
    command.set_defaults(run=evaluate)


def sigmas(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"want numbers with commas between them, got {text}") from None


def evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from posebook import _files
    from posebook.diagnosis import diagnose
    from posebook.evaluation_report import page, text
    from posebook.results import read

    try:
        with tqdm(desc="reading", leave=False, disable=None) as bar:  # None: only where somebody watches
            categories = read(options.annotations, options.results, sigmas=options.sigmas)
            bar.set_description("evaluating")

            def tell(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            diagnosis = diagnose(categories, tell=tell)
        print(text(diagnosis))
        if options.html:
            _files.write(options.html, page(diagnosis, str(options.annotations), str(options.results)).encode())
            print(f"\nWritten: {options.html}")
    except (OSError, ValueError) as error:
        print(f"posebook evaluate: {error}", file=sys.stderr)
        return 1
    return 0
