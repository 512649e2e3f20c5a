"""Orthanc, an archive that others wrote, on loopback for as long as a test lasts."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

AE_TITLE, CALLER = "ORTHANC", "OSTEOMAP"
PLUGINS = "/usr/share/orthanc/plugins"
SEARCH = "/usr/sbin"  # Debian puts the server where only root's PATH looks


def executable() -> str | None:
    return shutil.which("Orthanc") or shutil.which("Orthanc", path=SEARCH)


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running archive; every request goes to loopback."""

    http_port: int
    dicom_port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def web(self) -> DICOMwebClient:
        return DICOMwebClient(url=f"{self.address}/dicom-web")

    def store(self, data_sets: Sequence[Dataset]) -> tuple[dict[str, int], set[str]]:
        """C-STORE over one association; return the status of each instance and the SOP classes that were rejected."""
        entity = AE(ae_title=CALLER)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        for sop_class in sorted({ds.SOPClassUID for ds in data_sets}):
            entity.add_requested_context(sop_class, ExplicitVRLittleEndian)
        association = entity.associate(
            "127.0.0.1", self.dicom_port, ae_title=AE_TITLE, evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)]
        )
        if not association.is_established:
            raise ConnectionError("Orthanc refused the association")
        rejected = {str(context.abstract_syntax) for context in association.rejected_contexts}
        accepted = [ds for ds in data_sets if ds.SOPClassUID not in rejected]
        statuses = {str(ds.SOPInstanceUID): int(association.send_c_store(ds).Status) for ds in accepted}
        association.release()
        return statuses, rejected

    def remove(self, study_uids: Iterable[str]) -> None:
        for uid in study_uids:
            (found,) = requests.post(f"{self.address}/tools/lookup", data=uid, timeout=30).json()
            requests.delete(f"{self.address}{found['Path']}", timeout=30).raise_for_status()


def _send_at_once(event: evt.Event) -> None:
    """Small messages do not wait for each other: half the time of a store."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _configuration(folder: Path, http_port: int, dicom_port: int) -> dict[str, object]:
    return {
        "Name": "osteomap-test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [f"{PLUGINS}/libOrthancDicomWeb.so"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpPort": http_port,
        "DicomAet": AE_TITLE,
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowStore": False,
        "DicomModalities": {"osteomap": {"AET": CALLER, "Host": "127.0.0.1", "Port": 1, "AllowStore": True}},
        "UnknownSopClassAccepted": False,
        "OverwriteInstances": False,
        "SyncStorageArea": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start an archive that keeps its files in a folder; stop it at the end."""
    program = executable()
    if program is None:
        raise FileNotFoundError("Orthanc")
    server = Orthanc(*_free_ports(2))
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(_configuration(folder, server.http_port, server.dicom_port)), "utf-8")
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([program, str(configuration)], stdout=log, stderr=log)
        try:
            _wait(server, process, folder / "log.txt")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)


def _wait(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{server.address}/dicom-web/studies", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(f"Orthanc does not answer: {log.read_text('utf-8', errors='replace')[-2000:]}")
