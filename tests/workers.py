"""Which worker of pytest-xdist runs which tests: those that look at the same things stay together."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

OF_A_VARIANT = re.compile(r"tests/integration/test_(?:matrix|orthanc)\.py::.*\[(.*)\]")


class SharedWork(LoadScopeScheduling):
    """A file goes to one worker; of the matrix, which is most of the work, all tests of one header variant do.

    ``--dist=loadgroup``, which is for this, does not group in pytest-xdist 3.8 with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """Return the name that the tests of one worker have in common."""
    variant = OF_A_VARIANT.match(nodeid)
    if variant is not None:
        return variant[1]
    if nodeid.startswith("tests/integration/"):
        return "tests/integration"  # several files look at one run of the application
    return nodeid.split("::", maxsplit=1)[0]
