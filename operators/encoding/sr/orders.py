"""Source headers -> what the report says it fulfils: performed procedures, and the requests behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from operators.reading.orders.orders import PROCEDURES, REQUESTS
from operators.records.codes import IMAGING_PROCEDURE
from operators.records.sources import SourceImage

# Type 2 of an item of Referenced Request Sequence (PS3.3 C.17.2) that results do not repeat.
_EMPTY = (
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureDescription",
)


def procedures(sources: Sequence[SourceImage]) -> list[Code]:
    """Return the codes of the procedures that images belong to, each once: those of the study before the protocols."""
    found: dict[tuple[str, str], Code] = {}
    for keyword in PROCEDURES:
        if not found:
            for item in _items(sources, keyword):
                code = Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
                found.setdefault(code[:2], code)
    return list(found.values())


def procedures_reported(sources: Sequence[SourceImage]) -> list[Code]:
    """Return what Procedure reported is: the source's own codes, as far as TID 1500 knows them (CID 100), or any.

    A code of a hospital stands in Performed Procedure Code Sequence, and not in the content, whose codes are CID 100's.
    """
    known = {(code.scheme_designator, code.value) for code in codes.cid100.concepts.values()}
    own = [code for code in procedures(sources) if (code.scheme_designator, code.value) in known]
    return own or [IMAGING_PROCEDURE]


def requests(sources: Sequence[SourceImage]) -> list[Dataset]:
    """Return the requests that images were made for, each once, as items of Referenced Request Sequence."""
    found: dict[tuple[str, str], Dataset] = {}
    for source in sources:
        for item in source.header.get(REQUESTS) or []:
            number = str(item.get("AccessionNumber") or source.header.get("AccessionNumber") or "")
            request = Dataset()
            request.StudyInstanceUID = source.header.StudyInstanceUID
            request.ReferencedStudySequence = []
            request.AccessionNumber = number or None
            for keyword in _EMPTY:
                setattr(request, keyword, None)
            request.RequestedProcedureID = item.get("RequestedProcedureID")
            request.RequestedProcedureCodeSequence = item.get("RequestedProcedureCodeSequence") or []
            found.setdefault((number, str(request.RequestedProcedureID or "")), request)
    return list(found.values())


def _items(sources: Sequence[SourceImage], keyword: str) -> Iterator[Dataset]:
    for source in sources:
        yield from source.header.get(keyword) or []
