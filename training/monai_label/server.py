"""MONAI Label's server with the app, on this machine alone unless told otherwise.

MONAI Label 0.8.5 is started through its own application and settings. What differs from ``monailabel start_server``:
the server listens on 127.0.0.1 and answers no page of another origin; it logs neither requests nor names of files; it
writes nothing beside the app, and what clients upload for a session is removed at the end.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from training.datasets.errors import InputError

APP = Path(__file__).resolve().parent
IMAGES = ("*.png", "*.jpg", "*.jpeg", "*.nii.gz", "*.nii", "*.dcm")  # what is listed, and what labels come back as
# MONAI Label imports these for DICOMweb archives and writers that the app does not use: pydicom-seg needs pydicom 2,
# and the other two take 700 MB.
UNUSED = ("pydicom_seg", "SimpleITK", "itk")


@dataclass(frozen=True, slots=True)
class Server:
    """A folder of images, the bundles that look at them, and where clients find the server."""

    studies: Path
    models: Path
    classifier: str
    host: str
    port: int

    def run(self) -> None:
        """Serve until a signal ends it.

        Raises
        ------
        InputError
            If the folder is missing or MONAI Label is not installed.
        """
        if not self.studies.is_dir():
            raise InputError(f"{self.studies}: no such folder; give the folder that holds the images")
        for name in UNUSED:
            sys.modules.setdefault(name, ModuleType(name))
        try:
            import uvicorn  # noqa: PLC0415 - MONAI Label has an environment of its own
            from monailabel.config import settings  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                f"{error.name} is not installed here; run make monai-label, then "
                "build/monai_label/bin/python -m training.monai_label serve"
            ) from error
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("uvicorn.error").setLevel(logging.INFO)
        logging.getLogger("timeloop").disabled = True  # it tells of every housekeeping job
        with tempfile.TemporaryDirectory() as sessions:
            settings.MONAI_LABEL_APP_DIR = str(APP)
            settings.MONAI_LABEL_STUDIES = str(self.studies.resolve())
            settings.MONAI_LABEL_APP_CONF = {"models": str(self.models.resolve()), "classifier": self.classifier}
            settings.MONAI_LABEL_SERVER_PORT = self.port
            settings.MONAI_LABEL_DATASTORE_FILE_EXT = list(IMAGES)
            settings.MONAI_LABEL_SESSION_PATH = sessions
            settings.MONAI_LABEL_TRACKING_ENABLED = False
            settings.MONAI_LABEL_CORS_ORIGINS = [f"http://{self.host}:{self.port}"]
            uvicorn.run("monailabel.app:app", host=self.host, port=self.port, log_config=None, access_log=False)
