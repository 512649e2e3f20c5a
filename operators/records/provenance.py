"""Who made a result, with what: identifiers, equipment and research-use text that every object carries."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import datetime

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.coding import Code

from operators.records.codes import ABNORMALITY, ARTIFICIAL_INTELLIGENCE, PROCESSING_EQUIPMENT
from operators.records.images import EncodedImage, Radiograph
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.study import Study

APPLICATION = "OsteoMAP"
_PROJECT = f"{APPLICATION} project"
RESEARCH_USE_ONLY = "RESEARCH USE ONLY - not for clinical use"


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle as results name it: ``sha256`` of its weights, and the settings that shaped the result."""

    name: str
    version: str
    sha256: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """The software, its models and the time of the run.

    Parameters
    ----------
    version
        Version of the application.
    classifiers, segmenter
        The models; of several classifiers, whose probabilities are averaged, the first gives the heat map.
    now
        When the run began; the only thing of a result that differs between two runs on the same input.
    settings
        A digest of the settings that shape results.
    finding
        What the classifiers look for.
    """

    version: str
    classifiers: tuple[Model, ...]
    segmenter: Model
    now: datetime
    settings: str = ""
    finding: Code = ABNORMALITY

    @property
    def models(self) -> tuple[Model, ...]:
        """All models, in the order of their use."""
        return (*self.classifiers, self.segmenter)

    @property
    def device_uid(self) -> str:
        """UID of this software with these models and settings; it changes when one of them does."""
        return self._hash("device")

    def uid(self, kind: str, *sources: str) -> str:
        """Return a UID derived from what the object is made of: a second run gives the same (PS3.5 B.2)."""
        return self._hash(kind, *sources)

    def _hash(self, *parts: str) -> str:
        made_by = (f"{model.version} {model.sha256} {model.parameters}" for model in self.models)
        finding = f"{self.finding.value} {self.finding.scheme_designator}"
        text = "\n".join((*parts, self.version, self.settings, finding, *made_by))
        digest = hashlib.sha256(text.encode()).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"

    def contributing_equipment(self) -> list[hd.ContributingEquipment]:
        """Return the Contributing Equipment item that names the software and its models."""
        models = ", ".join(f"{model.name} {model.version} sha256 {model.sha256}" for model in self.models)
        return [
            hd.ContributingEquipment(
                manufacturer=_PROJECT,
                purpose_of_reference=PROCESSING_EQUIPMENT,
                manufacturer_model_name=APPLICATION,
                software_versions=self.version,
                device_serial_number=self.device_uid[-16:],
                contribution_datetime=self.now,
                contribution_description=f"{RESEARCH_USE_ONLY}. Models: {models}",
            )
        ]

    def algorithm(self, model: Model) -> hd.AlgorithmIdentificationSequence:
        """Return the Segmentation Algorithm Identification of a model."""
        return hd.AlgorithmIdentificationSequence(
            name=model.name,
            family=ARTIFICIAL_INTELLIGENCE,
            version=model.version,
            source=f"{APPLICATION} {self.version}",
            parameters=dict((("model_sha256", model.sha256), *model.parameters)),
        )

    def in_zone_of(self, header: Dataset) -> Provenance:
        """Return the same with its time in the zone of a source, whose dates and times stand beside ours."""
        offset = str(header.get("TimezoneOffsetFromUTC") or "")
        if not offset:
            return self
        return replace(self, now=self.now.astimezone(datetime.strptime(offset, "%z").tzinfo))

    def stamp(self, ds: Dataset, header: Dataset) -> None:
        """Replace what highdicom took from the clock or drew at random, so that a second run writes the same object.

        Series Date and Time are those of the analysis, for all objects: highdicom leaves them out. The zone is that of
        the source, if its header tells.
        """
        if header.get("TimezoneOffsetFromUTC"):
            ds.TimezoneOffsetFromUTC = header.TimezoneOffsetFromUTC
        for prefix in ("Content", "InstanceCreation", "Series"):
            if f"{prefix}Date" in ds or prefix == "Series":
                setattr(ds, f"{prefix}Date", self.now.strftime("%Y%m%d"))
                setattr(ds, f"{prefix}Time", self.now.strftime("%H%M%S"))
        for item in ds.get("ContributingEquipmentSequence", []):
            if "ContributionDateTime" in item:
                item.ContributionDateTime = self.now.strftime("%Y%m%d%H%M%S")
        for item in (*ds.get("DimensionOrganizationSequence", []), *ds.get("DimensionIndexSequence", [])):
            item.DimensionOrganizationUID = self.uid("dimensions", str(ds.SOPInstanceUID))


def tracking_id(number: int, index: int) -> str:
    """Return the label that SEG, SR and presentation state give a finding of image ``number``, beside its tracking UID.

    It is unique in the study: no reader may take findings of two views for one that is tracked.
    """
    return f"image-{number}-abnormality-{index + 1}"


def study_identity(header: Dataset) -> tuple[str, ...]:
    """Return study and patient of an image, for the UIDs of results: values to be hashed, never to be shown."""
    return _values(header, "StudyInstanceUID", "PatientID", "IssuerOfPatientID")


def image_identity(radiograph: Radiograph) -> tuple[str, ...]:
    """Return an image's study, patient, series, instance and pixels; for UIDs, as above."""
    header = radiograph.source.header
    return (*study_identity(header), *_values(header, "SeriesInstanceUID", "SOPInstanceUID"), radiograph.sha256)


def results_identity(study: Study[EncodedImage]) -> tuple[str, ...]:
    """Return what tells the results of a study from others: its images, and what each came to; for UIDs, as above.

    Of an image whose pixels were not read, the digest of the header stands in their place: no guess of a Patient ID can
    be tried on a UID by someone who has not the image.
    """
    parts = [str(study.study_instance_uid)]
    for image in study.images:
        if isinstance(image, ExcludedImage):
            parts += [image.state, image.reason]
            source = image.source
            if isinstance(source, SourceImage):
                parts += [*study_identity(source.header), source.sop_instance_uid, source.header_sha256]
        else:
            classification = image.segmentation.localization.classification
            radiograph = classification.radiograph
            parts += [*image_identity(radiograph), classification.state, *radiograph.doubts, *radiograph.relaxed]
    return tuple(parts)


def _values(header: Dataset, *keywords: str) -> tuple[str, ...]:
    return tuple(str(header.get(keyword) or "") for keyword in keywords)


def equipment(provenance: Provenance) -> dict[str, str]:
    """Return the General Equipment attributes as highdicom's constructors take them."""
    return {
        "manufacturer": f"{_PROJECT} (research use only)",
        "manufacturer_model_name": APPLICATION,
        "device_serial_number": provenance.device_uid[-16:],
        "software_versions": provenance.version,
    }


def is_own_object(header: Dataset) -> bool:
    """Say whether an object was made by this application, in any version.

    Its equipment tells, or what contributed to it, or its series: an archive may have changed or removed one of them.
    """
    contributed = header.get("ContributingEquipmentSequence")
    makers = [header, *(contributed if isinstance(contributed, DicomSequence) else ())]
    series = str(header.get("SeriesDescription") or "")
    return any(_is_own_device(maker) for maker in makers) or (
        series.startswith(f"{APPLICATION} ") and "research use only" in series
    )


def _is_own_device(maker: Dataset) -> bool:
    manufacturer, model = (str(maker.get(keyword) or "") for keyword in ("Manufacturer", "ManufacturerModelName"))
    return manufacturer.startswith(_PROJECT) and model.strip() == APPLICATION
