"""Calls of MONAI Label's own client, in its environment: ``[[method, arguments...]]`` on standard input, replies out.

``python client.py URL FOLDER`` prints a list of replies, ``{"reply": ...}`` or ``{"error": text}``; what comes back as
a file is written into FOLDER.
"""

from __future__ import annotations

import json
import sys

from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException


def call(client, method, *arguments):
    try:
        return {"reply": getattr(client, method)(*arguments)}
    except MONAILabelClientException as error:
        return {"error": error.msg}


if __name__ == "__main__":
    opened = MONAILabelClient(sys.argv[1], tmpdir=sys.argv[2])
    sys.stdout.write(json.dumps([call(opened, *asked) for asked in json.load(sys.stdin)]))
