"""What keeps a bundle from being fitted is told in one line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from training.datasets.dataset import read_dataset
from training.datasets.errors import InputError
from training.export import main as export
from training.fit import main as fit
from training.fitting.calibration import require_both_classes
from training.fitting.operating_points import fit_points
from training.fitting.predictions import Prediction
from training.phantoms import main as write_phantoms


@pytest.mark.parametrize("command", [fit, export])
def test_a_folder_that_is_no_bundle_is_named(command, tmp_path):
    options = ["--dataset_dir", str(tmp_path)] if command is fit else []
    with pytest.raises(SystemExit) as stopped:
        command([str(tmp_path / "nowhere"), *options])
    assert str(stopped.value).startswith(f"error: {tmp_path / 'nowhere'}: no bundle; give")
    assert not (tmp_path / "nowhere").exists()


def test_images_and_studies_are_told_apart(tmp_path):
    write_phantoms([str(tmp_path), "--count", "20"])
    records = read_dataset(tmp_path)
    grouped = [
        dataclasses.replace(record, study=f"{record.label} {i % 8}", group="") for i, record in enumerate(records)
    ]
    logits = np.random.default_rng(0).normal(size=20)
    predictions = [
        Prediction(record, float(logit) + 2 * record.label, None) for record, logit in zip(grouped, logits, strict=True)
    ]
    with pytest.raises(InputError, match="val holds 4 normal studies, a fit needs 5; add studies"):
        fit_points(predictions)
    with pytest.raises(InputError, match="val holds 4 abnormal images, a fit needs 5; add images"):
        require_both_classes(np.array([0.0] * 9 + [1.0] * 4))
