"""``python3 -m workshop TARGET``: one function per Makefile target.

Started by whatever ``python3`` there is, so this file stays readable for old versions: a Python that
is too old gets a sentence, not a syntax error. Everything else is imported after that check.
"""

from __future__ import annotations

import os
import sys

OLDEST = (3, 11)


def main() -> int:
    if sys.version_info < OLDEST:
        print(
            f"Python 3.11 or newer is needed, and {sys.executable} is {sys.version.split()[0]}; "
            "with another one beside it, say: make run PYTHON=python3.11",
            file=sys.stderr,
        )
        return 2
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from workshop.targets import TARGETS

    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        print("usage: python3 -m workshop " + "|".join(TARGETS), file=sys.stderr)
        return 2
    return TARGETS[sys.argv[1]]()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
