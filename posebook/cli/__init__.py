"""The command line: ``posebook lab`` opens the course, ``posebook doctor`` says whether it can run,
``posebook evaluate`` scores keypoints as COCO does; the other commands are an instructor's.

Everything heavy is imported where it is used, so that ``posebook --help`` answers at once.
"""

import argparse
import sys

from posebook.cli import evaluate, instructor, student


def main(argv: list[str] | None = None) -> int:
    # jsonschema would take over a second to import this, for a check of IRIs that nothing here asks for.
    sys.modules.setdefault("rfc3987_syntax", None)
    parser = argparse.ArgumentParser(prog="posebook", description="A course on keypoint detection and pose estimation.")
    commands = parser.add_subparsers(required=True, metavar="command")
    student.add_commands(commands)
    evaluate.add_commands(commands)
    instructor.add_commands(commands)
    options = parser.parse_args(argv)
    return options.run(options)
