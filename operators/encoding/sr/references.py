"""Which images of a study its report can refer to."""

from __future__ import annotations

from pydicom import uid

from operators.reading.normalised_header import is_referable
from operators.records.images import EncodedImage
from operators.records.reasons import DeclinedReason
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.study import Study

# The images that a report refers to. For one of a class that it does not know, retired or new or not an image's, a
# reader of the report may refuse all of it (DCMTK 3.6.7), and highdicom refuses to write it.
IMAGE_CLASSES = frozenset(
    (
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
        uid.XRayRadiofluoroscopicImageStorage,
        uid.XRayAngiographicImageStorage,
        uid.CTImageStorage,
        uid.EnhancedCTImageStorage,
        uid.MRImageStorage,
        uid.EnhancedMRImageStorage,
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.NuclearMedicineImageStorage,
        uid.PositronEmissionTomographyImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.VLPhotographicImageStorage,
    )
)


def referred_images(study: Study[EncodedImage]) -> list[SourceImage]:
    """Return the images that the report refers to, each instance once: an image before its duplicates."""
    found: dict[str, SourceImage] = {}
    for image in sorted(study.images, key=is_duplicate):
        if isinstance(image.source, SourceImage) and _can_be_shown(image.source) and not _is_unwritten(image):
            found.setdefault(image.source.sop_instance_uid, image.source)
    return list(found.values())


def _is_unwritten(image: EncodedImage | ExcludedImage) -> bool:
    """Say whether an image is a picture that was not analysed: its Secondary Capture is not written."""
    return isinstance(image, ExcludedImage) and isinstance(image.source, SourceImage) and image.source.file.picture


def _can_be_shown(source: SourceImage) -> bool:
    """Say whether coordinates on an image can be referred to.

    An object of another class is only named in words and codes.
    """
    header = source.header
    is_image = header.get("SOPClassUID") in IMAGE_CLASSES
    return is_image and bool(header.get("Rows")) and bool(header.get("Columns")) and is_referable(header)


def is_duplicate(image: EncodedImage | ExcludedImage) -> bool:
    """Say whether a file only repeats another one of the run."""
    return isinstance(image, ExcludedImage) and image.reason == DeclinedReason.DUPLICATE_INSTANCE
