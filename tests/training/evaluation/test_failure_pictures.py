"""The pictures of errors in a model card."""

from __future__ import annotations

import numpy as np
from PIL import Image

from operators.networks.loading import load_classifier
from training.failure_pictures import draw, summary, try_phantoms, worst


def test_the_worst_errors_are_chosen_and_drawn(bundles, tmp_path):
    tried = try_phantoms(load_classifier(bundles / "msk_random_baseline"), 12, seed=5)
    chosen = worst(tried, 2)
    assert [each.phantom.finding != "none" for each in chosen] == [True, True, False, False]
    found = [each.probability for each in tried if each.phantom.finding != "none"]
    clear = [each.probability for each in tried if each.phantom.finding == "none"]
    assert chosen[0].probability == min(found)
    assert chosen[2].probability == max(clear)
    draw(chosen, "title", tmp_path / "docs" / "failures.png")
    assert np.asarray(Image.open(tmp_path / "docs" / "failures.png").convert("L")).std() > 10
    assert summary(tried).startswith("6 with a finding: ")
