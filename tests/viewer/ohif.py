"""The OHIF viewer: its published files, unpacked once, and a server that puts an archive behind them, on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "build" / "viewer"
LOCK = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]["node_modules/@ohif/app"]
# Same origin for page and archive, isolated: the decoders of the viewer share memory between threads.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SOURCE = {
    "friendlyName": "Orthanc",
    "name": "orthanc",
    "wadoUriRoot": "/dicom-web",
    "qidoRoot": "/dicom-web",
    "wadoRoot": "/dicom-web",
    "qidoSupportsIncludeField": False,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": False,
    "supportsWildcard": True,
    "omitQuotationForMultipartRequest": True,
    "bulkDataURI": {"enabled": True},
}
CONFIGURATION = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": False,
    "showErrorDetails": "always",
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": SOURCE,
        }
    ],
}


def installed() -> Path:
    """Return the folder of the viewer's pages; npm fetches the package once, and its hash is that of the lock file.

    Only the package itself: its pages are built, and its dependencies, gigabytes, are for building them.
    """
    folder = FOLDER / f"ohif-{LOCK['version']}"
    if not (folder / "dist" / "index.html").is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        name = f"@ohif/app@{LOCK['version']}"
        command = ["npm", "pack", name, "--ignore-scripts", "--silent", "--pack-destination", str(FOLDER)]
        packed = FOLDER / subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
        _check(packed)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(packed) as archive:
            archive.extractall(partial, filter="data")
        (partial / "package").rename(folder)
        partial.rmdir()
        packed.unlink()
    return folder / "dist"


def _check(packed: Path) -> None:
    with packed.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if LOCK["integrity"] != f"sha512-{digest}":
        packed.unlink()
        raise ValueError("the package of the viewer is not the one of the lock file")


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive = ""

    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/dicom-web"):
            # The archive names itself in what it returns as it is named in the request.
            headers = {name: self.headers[name] for name in ("Accept", "Host") if name in self.headers}
            reply = requests.get(self.archive + self.path, headers=headers, timeout=60)
            self._send(reply.status_code, reply.headers.get("Content-Type", "application/octet-stream"), reply.content)
        elif path == "/app-config.js":
            self._send(200, "application/javascript", f"window.config = {json.dumps(CONFIGURATION)};".encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"  # an address within the page
            super().do_GET()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving_viewer(pages: Path, archive: str) -> Iterator[str]:
    """Serve the viewer's pages and, at the same origin, an archive's DICOMweb; yield the address."""
    handler = type("Handler", (_Handler,), {"archive": archive})
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(pages))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
