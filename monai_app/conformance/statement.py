"""The DICOM conformance statement (PS3.2), generated: ``python -m monai_app.conformance > docs/conformance.md``.

What can be asked of the code is asked of it: which images are read, which objects are written with which attributes
and codes, which transfer syntaxes are decoded, which reasons and settings there are. The template holds the rest.
"""

from __future__ import annotations

import logging
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from pydicom._uid_dict import UID_dictionary
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes

from monai_app import __version__
from monai_app.conformance.attribute_tables import Row, attribute_rows, coded_values, content_tree
from monai_app.conformance.sample_objects import Sample, build_samples
from monai_app.settings import ROOT, Settings
from operators.encoding.object_kinds import KIND_OF_NAME
from operators.reading.codestreams import decoding_plugins
from operators.reading.normalised_header import DESCRIPTIONS, IDENTITY_TEXTS, IF_PRESENT, TYPE_2
from operators.reading.scope import PROJECTION_MODALITIES, check_scope
from operators.records.codes import (
    BODY_PARTS,
    DOUBT_NAME,
    PEAK_NAME,
    PRIVATE_SCHEME,
    REASON_CODES,
    RELAXED_NAME,
    VIEW_POSITIONS,
)
from operators.records.errors import ImageError
from operators.records.reasons import REASONS, DeclinedReason, DoubtReason, FailedReason
from operators.records.rules import Scope

TEMPLATE = Path(__file__).with_name("conformance.md.j2")
EXIT_CODES: Mapping[int, str] = {
    0: "every image ended normal, doubt, abnormal or declined",
    1: "an internal error ended the run early",
    2: "usage, configuration or model error, before any data was read",
    3: "the run finished, at least one image failed",
    4: "no DICOM image was found",
}


@dataclass(frozen=True, slots=True)
class WrittenClass:
    """A kind of object that is written."""

    kind: str
    file: str
    sop_class: str
    uid: str
    modality: str
    series_number: str
    series_description: str
    rows: tuple[Row, ...]


def transfer_syntaxes() -> list[UID]:
    """Return the transfer syntaxes whose pixels the installed decoders read."""
    decoding_plugins.register()
    found = []
    for uid in AllTransferSyntaxes:
        try:
            if get_decoder(uid).is_available:
                found.append(uid)
        except NotImplementedError:  # of video, and of what is not pixel data
            continue
    return sorted(found, key=lambda uid: [int(part) for part in uid.split(".")])


def classes_read() -> Iterator[tuple[UID, str]]:
    """Yield each image storage class that is not plainly refused, and when it is read, as ``check_scope`` decides."""
    for text, (name, kind, *_) in UID_dictionary.items():
        if kind == "SOP Class" and "Image Storage" in name and "Retired" not in name:
            uid = UID(text)
            plain, widened = (_answer(uid, Scope(tuple(BODY_PARTS), also, 1, 10**6)) for also in (False, True))
            if not plain:
                yield uid, "yes"
            elif not widened:
                yield uid, "if `radiographs: secondary_capture` is on"
            elif plain != DeclinedReason.NOT_A_RADIOGRAPH:
                yield uid, f"no: declined, `{plain}`"


def _answer(uid: UID, scope: Scope) -> str:
    header = Dataset()
    header.SOPClassUID, header.Modality, header.PhotometricInterpretation = uid, "DX", "MONOCHROME2"
    header.Rows = header.Columns = 100
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    try:
        check_scope(header, scope)
    except ImageError as error:
        return str(error.reason)
    return ""


def classes_written(samples: list[Sample]) -> list[WrittenClass]:
    """Return the kinds of objects of the samples, those of a study first, in the order of their series numbers."""
    written = []
    for kind in dict.fromkeys(sample.kind for sample in samples):
        of_kind = [sample for sample in samples if sample.kind == kind]
        ds = of_kind[0].ds
        described = (str(ds.Modality), str(ds.SeriesNumber), str(ds.SeriesDescription))
        rows = tuple(attribute_rows(of_kind))
        name = _name_of(ds.SOPClassUID)
        written.append(
            WrittenClass(
                kind, KIND_OF_NAME[kind].file_pattern.replace("*", "<n>"), name, str(ds.SOPClassUID), *described, rows
            )
        )
    return sorted(written, key=lambda each: int(each.series_number))


def _name_of(uid: UID) -> str:
    """Return the name of a SOP class; pydicom's dictionary may be older than the class."""
    return {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}.get(uid, uid.name)


def settings_rows() -> Iterator[tuple[str, str, str]]:
    """Yield (key, kind of value, value as delivered) of every setting of ``app.yaml``."""
    delivered = yaml.safe_load((ROOT / "app.yaml").read_text("utf-8"))
    for section, kind in typing.get_type_hints(Settings).items():
        hints = typing.get_type_hints(kind)
        for key, delivered_value in delivered[section].items():
            value = yaml.safe_dump(delivered_value, width=10**6, default_flow_style=True)
            yield f"{section}: {key}", _words(hints.get(key, bool)), value.removesuffix("...\n").strip()


def _words(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_words(kind) for kind in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {_words(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is dict:
        return "mapping of text"
    return {str: "text", int: "integer", float: "number", bool: "true / false", types.NoneType: "null"}[hint]


def statement() -> str:
    """Return the conformance statement as Markdown."""
    logging.getLogger("highdicom").setLevel(logging.ERROR)
    samples = list(build_samples())
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 - Markdown
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("<", "&lt;")
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        version=__version__,
        read=list(classes_read()),
        modalities=", ".join(PROJECTION_MODALITIES),
        written=classes_written(samples),
        syntaxes=transfer_syntaxes(),
        tree=content_tree(sample for sample in samples if sample.kind == "sr"),
        codes=[code for code in coded_values(samples) if code.scheme != PRIVATE_SCHEME],
        private_scheme=PRIVATE_SCHEME,
        private_codes=REASON_CODES,
        private_names=(DOUBT_NAME, RELAXED_NAME),
        private_measurements=(PEAK_NAME,),
        body_parts=BODY_PARTS,
        reasons={reason: REASONS[reason].condition for reason in (*DeclinedReason, *FailedReason)},
        doubts={reason: REASONS[reason].condition for reason in DoubtReason},
        declined=tuple(DeclinedReason),
        exit_codes=EXIT_CODES,
        settings=list(settings_rows()),
        charsets=[term for term in python_encoding if term],
        kept=sorted((*TYPE_2, *IF_PRESENT)),
        type_2=TYPE_2,
        descriptions=DESCRIPTIONS,
        identity=IDENTITY_TEXTS,
        views=sorted(VIEW_POSITIONS),
    )
