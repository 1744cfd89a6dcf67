"""``python -m posebook.training table [experiment ...]``: make the stored results that are missing.

``python -m posebook.training crowds``: train the detectors of several people anew.

``python -m posebook.training residuals``: measure anew how far off the stored heatmap network is.
"""

import argparse

from posebook.training import crowds, residuals, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posebook.training", description=__doc__)
    parser.add_argument("command", choices=["table", "crowds", "residuals"])
    parser.add_argument("only", nargs="*", metavar="experiment", help=", ".join(table.experiments()) + "; all if none")
    options = parser.parse_args()
    if options.command == "table":
        table.make(only=tuple(options.only))
    else:
        {"crowds": crowds, "residuals": residuals}[options.command].make()


if __name__ == "__main__":
    main()
