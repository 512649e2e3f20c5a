"""Orthanc takes every object over DIMSE and DICOMweb, gives it back unchanged and finds it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.built_studies import STATES
from tests.integration.judges import STORE, STOW, kind_of
from tests.integration.matrix import JUDGED
from tests.integration.orthanc import Orthanc, running_orthanc

pytestmark = pytest.mark.external

ASSOCIATIONS = 4
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
RESPONSES = {"FailedSOPSequence", "OtherFailuresSequence"}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def written(matrix) -> dict[str, list[tuple[str, Dataset]]]:
    """Kind and data set of every object of a variant, each SOP Instance UID once.

    Variants with a UID of their own have the same one in each state; the largest study of those stays.
    """
    objects: dict[str, list[tuple[str, Dataset]]] = {}
    for name, cells in matrix.items():
        once: dict[str, tuple[str, Dataset]] = {}
        for cell in sorted(cells, key=lambda cell: len(cell.objects.paths)):
            once |= {str((ds := dcmread(path)).SOPInstanceUID): (kind_of(path), ds) for path in cell.objects.paths}
        objects[name] = list(once.values())
    return objects


def assert_archived(archive: Orthanc, sent: list[Dataset]) -> None:
    """Every object is found by study, series and modality, and given back as it was sent."""
    for study_uid in {ds.StudyInstanceUID for ds in sent}:
        objects = {ds.SOPInstanceUID: ds for ds in sent if ds.StudyInstanceUID == study_uid}
        series = {ds.SeriesInstanceUID: ds.Modality for ds in objects.values()}
        (study,) = archive.web.search_for_studies(
            search_filters={"StudyInstanceUID": study_uid}, fields=["ModalitiesInStudy"]
        )
        assert set(study["00080061"]["Value"]) == set(series.values())
        found = archive.web.search_for_series(study_uid, fields=["Modality"])
        assert {item["0020000E"]["Value"][0]: item["00080060"]["Value"][0] for item in found} == series
        returned = {ds.SOPInstanceUID: ds for ds in archive.web.retrieve_study(study_uid)}
        assert set(returned) == set(objects)
        assert [uid for uid, ds in objects.items() if returned[uid] != ds] == []


def test_dimse_stores_every_object(orthanc, written, tally):
    """This Orthanc does not know LABELMAP and rejects that context; a peer like it gets the BINARY object only."""
    objects = [item for items in written.values() for item in items]
    with ThreadPoolExecutor(ASSOCIATIONS) as pool:
        parts = [[ds for _, ds in objects[start::ASSOCIATIONS]] for start in range(ASSOCIATIONS)]
        replies = list(pool.map(orthanc.store, parts))
    assert all(rejected == {LABELMAP} for _, rejected in replies)
    statuses = {uid: status for accepted, _ in replies for uid, status in accepted.items()}
    assert set(statuses.values()) == {0x0000}
    sent = [(kind, ds) for kind, ds in objects if kind != "labelmap"]
    assert len(statuses) == len(sent)
    for kind, _ in sent:
        tally.count(STORE, kind)
    for name in JUDGED:
        assert_archived(orthanc, [ds for kind, ds in written[name] if kind != "labelmap"])
    orthanc.clear()


@pytest.mark.parametrize("name", JUDGED)
def test_dicomweb_stores_every_object(orthanc, written, tally, name):
    objects = written[name]
    response = orthanc.web.store_instances([ds for _, ds in objects])
    assert not [element.keyword for element in response if element.keyword in RESPONSES and element.value]
    assert len(response.ReferencedSOPSequence) == len(objects)
    assert_archived(orthanc, [ds for _, ds in objects])
    for kind, _ in objects:
        tally.count(STOW, kind)


def test_all_states_were_sent(matrix):
    assert {cell.state for cells in matrix.values() for cell in cells} == set(STATES)
