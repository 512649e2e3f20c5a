"""Write the conformance statement to standard output."""

from __future__ import annotations

import sys

from monai_app.conformance.statement import statement


def main() -> int:
    """Write the statement."""
    sys.stdout.write(statement())
    return 0


if __name__ == "__main__":
    sys.exit(main())
