"""The app that MONAI Label's server loads: it looks for a subclass of ``MONAILabelApp`` in a file of this name.

``python -m training.monai_label serve`` starts the server with it; see ``docs/monai_label.md``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from operators.image_files import Decoder
from training.datasets.errors import InputError
from training.monai_label.models import FINDING, Findings, HeatMap, Model, Segmenter, open_image

RESEARCH_USE_ONLY = "research use only, not a medical device"
UNPROCESSABLE = 422  # HTTP: the request is understood, and what it names cannot be answered


class BundleTask(InferTask):
    """A model of the server: the image's file and the request go to a bundle, a NIfTI file and facts come back."""

    def __init__(self, model: Model, kind: InferType, description: str, decoder: Decoder) -> None:
        labels = [] if kind == InferType.CLASSIFICATION else [FINDING]
        bundle = f"{model.bundle.name} {model.bundle.version}"
        super().__init__(kind, labels, 2, f"{description} ({bundle}; {RESEARCH_USE_ONLY})")
        self.model = model
        self.decoder = decoder

    def is_valid(self) -> bool:
        """Return whether the model can be used: its bundle was verified when the server started."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the path of a NIfTI file in the image's geometry, which the server removes, and facts for JSON.

        Raises
        ------
        HTTPException
            If the image is declined, fails, or nothing is marked in it; the client is told why.
        """
        if not request["image"]:
            raise HTTPException(404, "the folder of studies holds no such image; ask for the next sample or upload it")
        try:
            answer = self.model.answer(open_image(Path(request["image"]), self.decoder), request)
        except InputError as error:
            raise HTTPException(UNPROCESSABLE, str(error)) from error
        with tempfile.NamedTemporaryFile(suffix=".nii.gz", delete=False) as file:
            nibabel.save(answer.image.to_nifti(answer.values, self.description), file.name)
        return file.name, {**answer.facts, "description": self.description}


class OsteoMapLabel(MONAILabelApp):
    """The classifier's heat map, the segmenter as an interactive tool, and both together as a first proposal.

    ``conf`` holds ``models``, the folder of the bundles, and ``classifier``, the name of one of them.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(
            app_dir,
            studies,
            conf,
            "OsteoMAP",
            f"Findings in radiographs of bones; {RESEARCH_USE_ONLY}",
            labels=[FINDING],
        )

    def init_infers(self) -> dict[str, InferTask]:
        """Load and verify the bundles; the names are those of the models in clients."""
        models, decoder = Path(self.conf["models"]), Decoder(timeout_s=60, memory_mib=4096)
        heat_map, segmenter = HeatMap(models / self.conf["classifier"]), Segmenter(models / "msk_sam")
        findings = Findings(heat_map, segmenter)
        return {
            "findings": BundleTask(findings, InferType.SEGMENTATION, "outlines of suspected findings", decoder),
            "msk_sam": BundleTask(segmenter, InferType.DEEPGROW, "outline of what is marked", decoder),
            "heatmap": BundleTask(heat_map, InferType.CLASSIFICATION, "heat map, probability and state", decoder),
        }
