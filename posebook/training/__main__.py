"""``python -m posebook.training table [experiment ...]``: make the stored results of chapter 1 that are missing.

``python -m posebook.training robustness [experiment ...]``: those of chapter 4, and its nets.

``python -m posebook.training crowds``: train the detectors of several people anew.

``python -m posebook.training residuals``: measure anew how far off the stored heatmap network is.

``python -m posebook.training turning``: the same at every angle.
"""

import argparse

from posebook.training import crowds, residuals, robustness, table, turning


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posebook.training", description=__doc__)
    parser.add_argument("command", choices=["table", "crowds", "residuals", "turning", "robustness"])
    of = f"of table: {', '.join(table.experiments())}; of robustness: nets, {', '.join(robustness.experiments())}"
    parser.add_argument("only", nargs="*", metavar="experiment", help=f"{of}; all if none")
    options = parser.parse_args()
    once = {"crowds": crowds, "residuals": residuals, "turning": turning}
    if options.command in once:
        once[options.command].make()
    else:
        {"table": table, "robustness": robustness}[options.command].make(only=tuple(options.only))


if __name__ == "__main__":
    main()
