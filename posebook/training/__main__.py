"""``python -m posebook.training table [experiment ...]``: make the stored results that are missing.

``python -m posebook.training crowds``: train the detectors of several people anew.
"""

import argparse

from posebook.training import crowds, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posebook.training", description=__doc__)
    parser.add_argument("command", choices=["table", "crowds"])
    parser.add_argument("only", nargs="*", metavar="experiment", help=", ".join(table.experiments()) + "; all if none")
    options = parser.parse_args()
    crowds.make() if options.command == "crowds" else table.make(only=tuple(options.only))


if __name__ == "__main__":
    main()
