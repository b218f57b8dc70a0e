"""The program `upconv`, as a command of this package: `python -m upconv`."""

import sys

from . import _upconv


def main() -> int:
    """Runs the program with the arguments of this process. An interruption ends the process, with the status 130."""
    return _upconv.main(["upconv", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
