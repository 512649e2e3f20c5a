"""What identifies results: one name per finding; UIDs that change with all that they are made of, and with it only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset

from tests.built_studies import STATES, build_study


def findings(ds: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the tracking identifier and UID of every finding that an object names."""
    for segment in ds.get("SegmentSequence", ()):
        if "TrackingID" in segment:
            yield segment.TrackingID, segment.TrackingUID
    for annotation in ds.get("GraphicAnnotationSequence", ()):
        for graphic in (*annotation.get("GraphicObjectSequence", ()), *annotation.get("TextObjectSequence", ())):
            if "TrackingID" in graphic:
                yield graphic.TrackingID, graphic.TrackingUID
    for item in ds.get("ContentSequence", ()):
        named = {
            part.ConceptNameCodeSequence[0].CodeMeaning: part.get("TextValue") or part.get("UID")
            for part in item.get("ContentSequence", ())
            if "ConceptNameCodeSequence" in part
        }
        if "Tracking Identifier" in named:
            yield named["Tracking Identifier"], named["Tracking Unique Identifier"]
        yield from findings(item)


@pytest.mark.parametrize("state", ["two_series", "two_views", "abnormal_3"])
def test_a_finding_has_one_name_in_all_objects_and_no_other_finding_of_the_study_has_it(state):
    reported = build_study("dx", state).reported
    of_object = [set(findings(ds)) for image in reported.study.included for ds in image.objects.values()]
    segments = set.union(*of_object)
    wanted = sum(look.findings for look in STATES[state])
    assert len({name for name, _ in segments}) == len({uid for _, uid in segments}) == len(segments) == wanted
    in_report = set(findings(reported.objects["sr"]))
    assert segments <= in_report
    uids = defaultdict(set)
    for name, uid in in_report:
        uids[name].add(uid)
    assert all(len(found) == 1 for found in uids.values())
