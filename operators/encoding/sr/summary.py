"""What the report says of the whole study: a text to read first, and the same in codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from operators.encoding.remarks import Remark, in_words, remarks
from operators.encoding.sr.references import is_duplicate
from operators.records.codes import (
    BODY_PARTS,
    LATERALITIES,
    NORMALITY,
    NORMALITY_NAME,
    NOT_ANALYSED,
    QUALITATIVE_EVALUATIONS,
    REASON_CODES,
    in_sentence,
)
from operators.records.images import EncodedImage
from operators.records.provenance import RESEARCH_USE_ONLY, Model, Provenance
from operators.records.sources import ExcludedImage, SourceImage
from operators.records.states import State
from operators.records.study import Study, StudyOutcome

# What the report says otherwise than the page, as it is the only object.
_SENTENCES: Mapping[str, str] = {Remark.NOT_REFERABLE: "a UID of the header is invalid, so no object refers to it"}
_NONE_ANALYSED: Code = codes.DCM.NoAlgorithmsSucceededWithoutFindings
# Whether all images were analysed, and whether one is not normal -> status of the analysis (CID 6047).
_STATUS: Mapping[tuple[bool, bool], Code] = {
    (True, False): codes.DCM.AllAlgorithmsSucceededWithoutFindings,
    (True, True): codes.DCM.AllAlgorithmsSucceededWithFindings,
    (False, False): codes.DCM.NotAllAlgorithmsSucceededWithoutFindings,
    (False, True): codes.DCM.NotAllAlgorithmsSucceededWithFindings,
}


def summary(study: Study[EncodedImage], outcome: StudyOutcome, provenance: Provenance) -> sr.TextContentItem:
    """Return the study in words: what came out, a line per image, also of those that were not analysed, the models.

    It is one item, before all others, so that no viewer tears it apart; TID 1500 may be extended by it.
    """
    lines = [
        f"{RESEARCH_USE_ONLY}. Automatic result, not reviewed by a physician.",
        _result(outcome, provenance.finding),
        _counts(study),
        *(_line(number, image) for number, image in enumerate(study.images, start=1)),
        *(_model(model) for model in provenance.models),
    ]
    return sr.TextContentItem(codes.DCM.Summary, "\r\n".join(lines), sr.RelationshipTypeValues.CONTAINS)


def evaluations(
    study: Study[EncodedImage], outcome: StudyOutcome, unshown: Sequence[ExcludedImage]
) -> sr.ContainerContentItem:
    """Return the study in codes: its normality, the status of the analysis (CID 6047), and reasons.

    Parameters
    ----------
    study, outcome
        The study and what it came to.
    unshown
        The images that were not analysed and have no group which could hold the reason.
    """
    items = [
        (NORMALITY_NAME, NORMALITY.get(outcome.state, NORMALITY[State.DOUBT])),
        (codes.DCM.SummaryOfDetections, _status(study, outcome)),
        *((NOT_ANALYSED[image.state], REASON_CODES[image.reason]) for image in unshown),
    ]
    container = sr.ContainerContentItem(
        name=QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = sr.ContentSequence(
        sr.CodeContentItem(name, value, sr.RelationshipTypeValues.CONTAINS) for name, value in items
    )
    return container


def _status(study: Study[EncodedImage], outcome: StudyOutcome) -> Code:
    """Return the status of the analysis; doubt counts as a finding, as "without findings" would reassure."""
    if not study.included:
        return _NONE_ANALYSED
    complete = all(is_duplicate(image) for image in study.excluded)
    states = {image.segmentation.localization.classification.state for image in study.included}
    return _STATUS[complete, states | {outcome.state} != {State.NORMAL}]


def _result(outcome: StudyOutcome, finding: Code) -> str:
    if outcome.probability is None:
        return f"Study: not analysed ({outcome.state})."
    state = _in_words(outcome.state)
    mean = f"mean probability of {in_sentence(finding)} over the analysed images {outcome.probability:.3f}"
    return f"Study: {state}; {mean}."


def _counts(study: Study[EncodedImage]) -> str:
    states = Counter(image.segmentation.localization.classification.state for image in study.included)
    states.update(image.state for image in study.excluded)
    return (
        f"Images: {len(study.included)} analysed ({states[State.ABNORMAL]} abnormal, {states[State.DOUBT]} in doubt, "
        f"{states[State.NORMAL]} normal), {states[State.DECLINED]} declined, {states[State.FAILED]} failed."
    )


def _line(number: int, image: EncodedImage | ExcludedImage) -> str:
    """Return one image in words."""
    if isinstance(image, ExcludedImage):
        reason = in_sentence(REASON_CODES[image.reason])
        source = image.source
        name = f"Image {number} ({source.sop_instance_uid})" if isinstance(source, SourceImage) else f"File {number}"
        return f"{name} was not analysed: {image.state}, {reason}."
    localization = image.segmentation.localization
    marked = f"{len(localization.boxes)} finding{'' if len(localization.boxes) == 1 else 's'} marked"
    found = (
        f"Image {number}{_view(image.source)}: {_in_words(localization.classification.state)}, "
        f"probability {localization.classification.probability:.3f}, {marked}."
    )
    return " ".join((found, *_remarks(image)))


def _model(model: Model) -> str:
    """Return a model in words, with its weights and what shaped the results."""
    parameters = (("sha256", model.sha256), *model.parameters)
    return f"Model {model.name} {model.version}: {', '.join(f'{name} {text}' for name, text in parameters)}."


def _in_words(state: State) -> str:
    return "in doubt" if state == State.DOUBT else state


def _view(source: SourceImage) -> str:
    """Return what is shown, as far as the header names it."""
    coded = (BODY_PARTS.get(source.body_part or ""), LATERALITIES.get(source.laterality or ""))
    words = [code.meaning.lower() for code in coded if code is not None] + [source.view_position or ""]
    text = ", ".join(word for word in words if word)
    return f" ({text})" if text else ""


def _remarks(image: EncodedImage) -> Iterator[str]:
    """Yield what a reader has to know of an image that was analysed, as sentences."""
    localization = image.segmentation.localization
    for remark in remarks(localization):
        if remark is not Remark.BURNED_IN:  # the report shows no picture
            text = _SENTENCES.get(remark) or in_words(remark, localization)
            yield f"{text[0].upper()}{text[1:]}."
