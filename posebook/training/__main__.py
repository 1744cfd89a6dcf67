"""``python -m posebook.training table [experiment ...]``: make the stored results of chapter 1 that are missing.

``python -m posebook.training robustness [experiment ...]``: those of chapter 4, and its nets.

``python -m posebook.training crowds``: train the detectors of several people anew.

``python -m posebook.training residuals``: measure anew how far off the stored heatmap network is.

``python -m posebook.training turning``: the same at every angle.

``python -m posebook.training actions``: train the nets that tell actions apart anew.

``python -m posebook.training fairness``: train on people of other kinds, and measure who is judged worse.

``python -m posebook.training run METHOD --out FOLDER``: one method at any size, with a deeper trunk, on one GPU or on
several; ``run --help`` lists the rest.
"""

import argparse

from posebook.training import actions, crowds, fairness, residuals, robustness, scale, table, turning

IN_PARTS = {"table": table, "robustness": robustness}
WHOLE = {"crowds": crowds, "residuals": residuals, "turning": turning, "actions": actions, "fairness": fairness}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m posebook.training", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    parts = {"table": table.experiments(), "robustness": ["nets", *robustness.experiments()]}
    for name, known in parts.items():
        part = commands.add_parser(name)
        part.add_argument("only", nargs="*", metavar="experiment", help=f"of {', '.join(known)}; all if none")
    for name in WHOLE:
        commands.add_parser(name)
    scale.add_options(commands.add_parser("run", description=scale.__doc__,
                                          formatter_class=argparse.RawDescriptionHelpFormatter))  # fmt: skip
    options = parser.parse_args(arguments)
    if options.command == "run":
        scale.main(options)
    elif options.command in WHOLE:
        WHOLE[options.command].make()
    else:
        IN_PARTS[options.command].make(only=tuple(options.only))


if __name__ == "__main__":
    main()
