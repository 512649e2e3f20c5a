"""Entry point: ``python -m monai_app.command`` is ``osteomap``."""

from __future__ import annotations

import sys

from monai_app.command import main

if __name__ == "__main__":
    sys.exit(main())
