"""The command line: `cranelite` and `python -m cranelite` are the same program as the binary."""

import signal
import sys

from . import _native


def main():
    # Ctrl-C ends the program at once, as it does the binary.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_words(["cranelite", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
