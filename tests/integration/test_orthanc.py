"""Orthanc takes every object over DIMSE and DICOMweb, gives it back unchanged and finds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.built_studies import STATES
from tests.integration.judges import KINDS, MATRIX, STORE, STOW, kind_of
from tests.integration.matrix import JUDGED, PLAIN, Matrix, states_of
from tests.integration.orthanc import Orthanc, running_orthanc

pytestmark = pytest.mark.external

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
RESPONSES = {"FailedSOPSequence", "OtherFailuresSequence"}
# The objects of a variant take one way into the archive and, of the full matrix and in all states, the other too.
COMPLETE = {name for name in JUDGED if MATRIX == "full" or set(states_of(name)) == set(STATES)}
OVER_DIMSE = [name for number, name in enumerate(JUDGED) if name in COMPLETE or number % 2 == 0]
OVER_DICOMWEB = [name for number, name in enumerate(JUDGED) if name in COMPLETE or number % 2 == 1]


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def objects_of(matrix: Matrix, name: str) -> list[tuple[str, Dataset]]:
    """Return kind and data set of every object of a variant, each SOP Instance UID once.

    Variants with a UID of their own have the same one in each state; the largest study of those stays.
    """
    once: dict[str, tuple[str, Dataset]] = {}
    studies = [matrix.written(name, state) for state in states_of(name)]
    for study in sorted(studies, key=lambda study: len(study.paths)):
        once |= {str((ds := dcmread(path)).SOPInstanceUID): (kind_of(path), ds) for path in study.paths}
    return list(once.values())


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


@pytest.mark.parametrize("name", OVER_DIMSE)
def test_dimse_stores_every_object(orthanc, matrix, tally, name):
    """This Orthanc does not know LABELMAP and rejects that context; a peer like it gets the BINARY object only."""
    objects = objects_of(matrix, name)
    statuses, rejected = orthanc.store([ds for _, ds in objects])
    assert rejected == {ds.SOPClassUID for _, ds in objects} & {LABELMAP}
    assert set(statuses.values()) == {0x0000}
    sent = [(kind, ds) for kind, ds in objects if kind != "labelmap"]
    assert len(statuses) == len(sent)
    assert_archived(orthanc, [ds for _, ds in sent])
    for kind, _ in sent:
        tally.count(STORE, kind)
    orthanc.remove({ds.StudyInstanceUID for _, ds in sent})  # the same objects come again over DICOMweb


@pytest.mark.parametrize("name", OVER_DICOMWEB)
def test_dicomweb_stores_every_object(orthanc, matrix, tally, name):
    objects = objects_of(matrix, name)
    response = orthanc.web.store_instances([ds for _, ds in objects])
    assert not [element.keyword for element in response if element.keyword in RESPONSES and element.value]
    assert len(response.ReferencedSOPSequence) == len(objects)
    assert_archived(orthanc, [ds for _, ds in objects])
    for kind, _ in objects:
        tally.count(STOW, kind)


def test_every_variant_is_sent():
    assert set(OVER_DIMSE) | set(OVER_DICOMWEB) == set(JUDGED)
    assert PLAIN in set(OVER_DIMSE) & set(OVER_DICOMWEB)
    assert MATRIX != "full" or OVER_DIMSE == OVER_DICOMWEB == list(JUDGED)


def test_a_labelmap_is_among_the_objects(matrix):
    assert {kind_of(path) for path in matrix.written(PLAIN, "abnormal_1").paths} == set(KINDS)
