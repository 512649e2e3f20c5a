"""Sample objects -> which attributes an object has, where their values come from, which codes stand in it (PS3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from monai_app.conformance.sample_objects import Sample
from operators.records.codes import ABNORMALITY

Path = tuple[str, ...]  # keywords from the root; the nested items of a report's content tree count as one level
ROOT: Path = ()
# What is copied from the source, in its own codes.
_COPIED_CODES = ("ProcedureCodeSequence", "PerformedProcedureCodeSequence", "RequestedProcedureCodeSequence")
# Concept name or attribute -> the context group (PS3.16) that its values are taken from.
CONTEXT_GROUPS: Mapping[str, str] = {
    "AlgorithmFamilyCodeSequence": "CID 7162",
    "Algorithm Family": "CID 7162",
    "AnatomicRegionSequence": "CID 4031",
    "DerivationCodeSequence": "CID 7203",
    "Finding Site": "CID 4031",
    "Geometric purpose of region": "CID 219",
    "Image Laterality": "CID 244",
    "Laterality": "CID 244",
    "Modality": "CID 29",
    "Normality": "CID 222",
    "Observer Type": "CID 270",
    "Procedure reported": "CID 100",
    "PurposeOfReferenceCodeSequence": "CID 7005, 7202",
    "SegmentedPropertyCategoryCodeSequence": "CID 7150",
    "SegmentedPropertyTypeCodeSequence": "CID 7151, 7180",
    "Summary of Detections": "CID 6047",
    "Target Region": "CID 4031",
}


@dataclass(slots=True)
class _Facts:
    """What the samples say of an attribute: how often it could be there, is there, has a value, copies the source."""

    vr: str = ""
    possible: int = 0
    present: int = 0
    filled: int = 0
    copied: int = 0
    values: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Row:
    """An attribute as a conformance statement tells of it; ``depth`` is the number of sequences around it."""

    path: Path
    depth: int
    name: str
    tag: str
    vr: str
    presence: str
    source: str
    value: str


@dataclass(frozen=True, slots=True, order=True)
class CodedValue:
    """A code, and the attribute or concept name that it is a value of."""

    used_for: str
    scheme: str
    value: str
    meaning: str
    context_group: str


def walk(ds: Dataset, path: Path = ROOT) -> Iterator[tuple[Path, DataElement]]:
    """Yield every element of a data set, nested ones too, with its path."""
    for element in ds:
        keyword = element.keyword or element.name.replace(" ", "")  # elements of overlay groups have names only
        inner = path if path and path[-1] == keyword == "ContentSequence" else (*path, keyword)
        yield inner, element
        if element.VR == "SQ":
            for item in element.value:
                yield from walk(item, inner)


def attribute_rows(samples: Iterable[Sample]) -> list[Row]:
    """Return a row per attribute of the samples of one kind, in the order of their tags."""
    facts: dict[Path, _Facts] = {}
    order: dict[Path, tuple[int, ...]] = {ROOT: ()}
    items: dict[Path, int] = {ROOT: 0}
    for sample in samples:
        items[ROOT] += 1
        for path, element in walk(sample.ds):
            of = facts.setdefault(path, _Facts(element.VR))
            order[path] = (*order.get(path[:-1], ()), int(element.tag))
            if element.VR == "SQ":
                items[path] = items.get(path, 0) + len(element.value)
            _add(of, element, sample.header if len(path) == 1 else Dataset())
    for path, of in facts.items():
        of.possible = items[path[:-1]]
    return [_row(path, facts[path], order[path][-1]) for path in sorted(facts, key=order.__getitem__)]


def _add(facts: _Facts, element: DataElement, header: Dataset) -> None:
    facts.present += 1
    if element.is_empty or (element.VR == "SQ" and not element.value):
        return
    facts.filled += 1
    text = _text(element)
    facts.values.add(text)
    if element.keyword in header and text == _text(header[element.keyword]):
        facts.copied += 1


def _text(element: DataElement) -> str:
    """Return a value as the tables show it; of sequences and bulk data only what they are."""
    if element.VR == "SQ":
        return ""
    if isinstance(element.value, bytes):
        return f"{hash(element.value)} bytes"
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(str(value) for value in values)


def _row(path: Path, facts: _Facts, tag: int) -> Row:
    source = "" if facts.vr == "SQ" or not facts.filled else _source(facts)
    few = source == "FIXED" or (source == "AUTO" and facts.vr == "CS" and len(facts.values) <= 9)
    value = ", ".join(sorted(facts.values)) if few else ""
    return Row(
        path,
        len(path) - 1,
        path[-1],
        f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
        facts.vr,
        _presence(facts),
        source,
        "" if value.endswith(" bytes") or len(value) > 80 else value,
    )


def _source(facts: _Facts) -> str:
    """Return the word of PS3.2 for where a value comes from."""
    if len(facts.values) == 1 < facts.filled:
        return "FIXED"
    return "COPY" if facts.copied == facts.filled else "AUTO"


def _presence(facts: _Facts) -> str:
    """Return the word of PS3.2 for how often an attribute and its value are there."""
    if facts.filled >= facts.possible:
        return "ALWAYS"
    if facts.present < facts.possible and facts.filled:
        return "ANAP"
    return "VNAP" if facts.filled else "EMPTY"


def coded_values(samples: Iterable[Sample]) -> list[CodedValue]:
    """Return every code of the samples once per use."""
    found: set[CodedValue] = set()
    for sample in samples:
        for used_for, item in _codes(sample.ds):
            if used_for in _COPIED_CODES:
                continue
            scheme, value = str(item.CodingSchemeDesignator), str(item.CodeValue)
            of_bundle = (scheme, value) == (ABNORMALITY.scheme_designator, ABNORMALITY.value)  # from any group, or none
            group = "" if of_bundle else CONTEXT_GROUPS.get(used_for, "")
            found.add(CodedValue(used_for, scheme, value, str(item.CodeMeaning), group))
    return sorted(found)


def _codes(ds: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Yield the coded items of a data set, with the concept or the attribute that they are values of."""
    for element in ds:
        if element.VR != "SQ":
            continue
        for item in element.value:
            if "CodeValue" in item:
                yield _use(ds, element.keyword), item
            yield from _codes(item)


def _use(ds: Dataset, keyword: str) -> str:
    if keyword == "ConceptNameCodeSequence":
        return "concept name"
    if keyword in ("ConceptCodeSequence", "MeasurementUnitsCodeSequence") and "ConceptNameCodeSequence" in ds:
        return str(ds.ConceptNameCodeSequence[0].CodeMeaning)
    return keyword


def content_tree(samples: Iterable[Sample]) -> list[tuple[int, str, str, str]]:
    """Return the content items of reports once each: (depth, relationship, value type, concept name)."""
    found: dict[tuple[str, ...], tuple[int, str, str, str]] = {}
    for sample in samples:
        _add_items(sample.ds, (), found)
    return list(_in_order(found))


def _add_items(ds: Dataset, path: tuple[str, ...], found: dict[tuple[str, ...], tuple[int, str, str, str]]) -> None:
    for item in ds.get("ContentSequence", []):
        names = item.get("ConceptNameCodeSequence") or [Dataset()]
        name = str(names[0].get("CodeMeaning", "(no name)"))
        here = (*path, f"{name} {item.ValueType}")
        found.setdefault(here, (len(path), str(item.RelationshipType), str(item.ValueType), name))
        _add_items(item, here, found)


def _in_order(found: Mapping[tuple[str, ...], tuple[int, str, str, str]]) -> Iterator[tuple[int, str, str, str]]:
    """Yield items below their parents, as a later report may add to an earlier branch."""

    def below(parent: tuple[str, ...]) -> Iterator[tuple[int, str, str, str]]:
        for path, item in found.items():
            if path[:-1] == parent:
                yield item
                yield from below(path)

    yield from below(())
