"""Source header -> procedures, requests, other identifiers and clinical trial in the form that results repeat.

Codes and identifiers only: descriptions of procedures and steps, which people write, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset

from operators.reading.header_values import valid_values

PROCEDURES = ("ProcedureCodeSequence", "PerformedProtocolCodeSequence")
REQUESTS, OTHER_IDS = "RequestAttributesSequence", "OtherPatientIDsSequence"
SEQUENCES = (*PROCEDURES, REQUESTS, OTHER_IDS)
# Type 1 and type 2 of the modules of a clinical trial (PS3.3 C.7.1.3); one of the subject's identifiers is needed.
_TRIAL_NEEDED = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
_TRIAL_SUBJECT = ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID")
_TRIAL_MAY_BE_EMPTY = ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName")
TRIAL = (*_TRIAL_NEEDED, *_TRIAL_SUBJECT, *_TRIAL_MAY_BE_EMPTY)
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_MOST_ITEMS = 20  # of a sequence; an image belongs to one procedure, rarely to a few


def copy_orders(header: Dataset, copy: Dataset) -> list[str]:
    """Copy what a header says of its order into a normalised copy; return the keywords of what could not be kept."""
    lost = []
    for keyword in SEQUENCES:
        try:
            found = [_ITEMS[keyword](item) for item in list(header.get(keyword) or [])[:_MOST_ITEMS]]
            items = [item for item in found if item is not None]
        except Exception:  # noqa: BLE001 - a damaged value raises a dozen kinds
            items, found = [], []
            lost.append(keyword)
        if items:
            setattr(copy, keyword, items)
    return lost + _complete_trial(copy)


def _complete_trial(copy: Dataset) -> list[str]:
    """Make what is said of a clinical trial complete, or drop it; return what was dropped."""
    told = [keyword for keyword in TRIAL if copy.get(keyword)]
    if all(copy.get(keyword) for keyword in _TRIAL_NEEDED) and any(copy.get(keyword) for keyword in _TRIAL_SUBJECT):
        for keyword in _TRIAL_MAY_BE_EMPTY:
            setattr(copy, keyword, copy.get(keyword) or None)
        return []
    for keyword in TRIAL:
        if keyword in copy:
            delattr(copy, keyword)
    return told


def _values(item: Dataset, *keywords: str) -> Dataset:
    """Return the valid values of attributes of an item that are no sequences."""
    copy = Dataset()
    for keyword in keywords:
        if keyword in item:
            element = item[keyword]
            if element.VR == "SQ":
                raise ValueError("a sequence")
            values = list(element.value) if element.VM > 1 else [] if element.value is None else [element.value]
            valid = valid_values(values, keyword, declared=True)
            if valid:
                setattr(copy, keyword, valid[0] if len(valid) == 1 else valid)
    return copy


def _code(item: Dataset) -> Dataset | None:
    """Return a code, or None if the item holds none that is complete (PS3.3 8.8)."""
    copy = _values(item, *_CODE)
    return copy if all(keyword in copy for keyword in _CODE) else None


def _request(item: Dataset) -> Dataset | None:
    """Return the identifiers of a request and the code of what was requested."""
    copy = _values(item, "StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID")
    requested = [_code(code) for code in list(item.get("RequestedProcedureCodeSequence") or [])[:1]]
    if any(requested):
        copy.RequestedProcedureCodeSequence = [code for code in requested if code is not None]
    return copy if len(copy) else None


def _other_id(item: Dataset) -> Dataset | None:
    """Return another identifier of the patient; the type of one that does not tell its type is text."""
    copy = _values(item, "PatientID", "IssuerOfPatientID", "TypeOfPatientID")
    if "PatientID" not in copy:
        return None
    copy.TypeOfPatientID = copy.get("TypeOfPatientID") or "TEXT"
    return copy


_ITEMS: Mapping[str, Callable[[Dataset], Dataset | None]] = {
    **dict.fromkeys(PROCEDURES, _code),
    REQUESTS: _request,
    OTHER_IDS: _other_id,
}
