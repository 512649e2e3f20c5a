"""The chain: whatever a stage raises costs one study, and its text is told nowhere."""

from __future__ import annotations

import pytest

from operators import pipeline
from operators.deploy.unquoted_errors import unquoted
from operators.records.errors import AnalysisCancelledError
from operators.records.study import Study
from tests.segmentations import DESCRIPTION, RULE, segmentation

NAME = "SMITH^JOHN"


def broken(*_args, **_words):
    raise ValueError(NAME)


@pytest.mark.parametrize("function", ["encode_study", "encode_image", "summarise_study"])
def test_a_mistake_of_ours_fails_the_study_and_its_text_stays_untold(monkeypatch, caplog, function):
    real, calls = getattr(pipeline, function), []

    def once(*args, **words):
        calls.append(1)
        return broken() if len(calls) == 1 else real(*args, **words)

    monkeypatch.setattr(pipeline, function, once)
    study = Study("1.2.3", (segmentation(), segmentation(0)))
    reported = pipeline.run(study, pipeline.object_stages(RULE, DESCRIPTION))
    failed = reported.study.excluded
    assert len(failed) == (1 if function == "encode_image" else 2)
    assert {(image.state, image.reason) for image in failed} == {("failed", "internal_error")}
    assert "an internal error (ValueError)" in failed[0].detail
    assert "ValueError at test_pipeline.py" in caplog.text
    assert NAME not in caplog.text + "".join(image.detail for image in failed)


def test_a_cancelled_analysis_is_no_mistake(monkeypatch):
    def cancel(*_args, **_words):
        raise AnalysisCancelledError

    monkeypatch.setattr(pipeline, "encode_study", cancel)
    with pytest.raises(AnalysisCancelledError):
        pipeline.run(Study("1.2.3", (segmentation(),)), pipeline.object_stages(RULE, DESCRIPTION))


def test_what_holoscan_prints_quotes_nothing():
    with pytest.raises(RuntimeError, match="^ValueError at test_pipeline.py:[0-9]+$") as told, unquoted():
        broken()
    assert told.value.__suppress_context__
    with pytest.raises(OSError, match="No space left") as full, unquoted():
        raise OSError(28, "No space left on device", NAME)
    assert (full.value.errno, full.value.filename) == (28, None)
