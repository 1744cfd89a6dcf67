"""``python -m posebook.training table [experiment ...]``: make the stored results that are missing."""

import argparse

from posebook.training import table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posebook.training", description=__doc__)
    parser.add_argument("command", choices=["table"])
    parser.add_argument("only", nargs="*", metavar="experiment", help=", ".join(table.experiments()) + "; all if none")
    table.make(only=tuple(parser.parse_args().only))


if __name__ == "__main__":
    main()
