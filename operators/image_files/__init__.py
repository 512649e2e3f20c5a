"""What the ``inference.json`` of a bundle uses: image files in, CSV and NIfTI files out.

The names here are public and stable: the configurations of bundles refer to them as ``operators.image_files.<name>``.
"""

from operators.image_files.errors import or_exit
from operators.image_files.image_file import ImageReader
from operators.image_files.image_list import list_images
from operators.image_files.inferers import (
    AddHeatMap,
    AddLabels,
    ClassificationInferer,
    PromptedInferer,
    load_weights,
    open_classifier,
    open_segmenter,
    prompt_rule,
)
from operators.image_files.writers import OutlineWriter, ProgressBar, ScoreWriter
from operators.reading.decoder import Decoder
from operators.records.codes import BODY_PARTS
from operators.records.rules import Scope

__all__ = [
    "BODY_PARTS",
    "AddHeatMap",
    "AddLabels",
    "ClassificationInferer",
    "Decoder",
    "ImageReader",
    "OutlineWriter",
    "ProgressBar",
    "PromptedInferer",
    "Scope",
    "ScoreWriter",
    "list_images",
    "load_weights",
    "open_classifier",
    "open_segmenter",
    "or_exit",
    "prompt_rule",
]
