"""Compressed objects are the same objects: no pixel, no attribute and no UID differs."""

from __future__ import annotations

import dataclasses
import subprocess

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, RLELossless

from operators.encoding.compression import compress
from operators.records.rules import COMPRESSIONS
from tests.integration.judges import Objects, Tally
from tests.integration.matrix import judge
from tests.segmentations import EVERY_OBJECT, encode, reread, segmentation

SYNTAXES = {"rle": RLELossless, "jpeg_ls": JPEGLSLossless}
WITH_PIXELS = ("sc", "heatmap", "labelmap")
DECOMPRESSORS = {"rle": "dcmdrle", "jpeg_ls": "dcmdjpls"}


def objects(method: str):
    found = segmentation(2)
    heatmap = np.linspace(0, 1, 160 * 128, dtype=np.float32).reshape(160, 128)
    found = dataclasses.replace(found, localization=dataclasses.replace(found.localization, heatmap=heatmap))
    rule = dataclasses.replace(EVERY_OBJECT, compression=method)
    return {kind: reread(ds) for kind, ds in encode(found, rule=rule).objects.items()}


@pytest.mark.parametrize("method", SYNTAXES)
def test_nothing_but_the_size_of_an_object_changes(method):
    plain, small = objects("none"), objects(method)
    assert plain.keys() == small.keys()
    for kind, ds in small.items():
        compressed = kind in WITH_PIXELS
        assert ds.file_meta.TransferSyntaxUID.is_compressed == compressed, kind
        if compressed:
            assert ds.file_meta.TransferSyntaxUID == SYNTAXES[method]
            assert len(ds.PixelData) < len(plain[kind].PixelData)
            assert np.array_equal(ds.pixel_array, plain[kind].pixel_array)
            ignored = ("PixelData", "PlanarConfiguration")
            before, after = (
                [str(element) for element in one if element.keyword not in ignored] for one in (plain[kind], ds)
            )
            assert before == after
        else:
            assert ds == plain[kind]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=", ".join(COMPRESSIONS)):
        compress(objects("none")["sc"], "zip")


@pytest.mark.external
@pytest.mark.parametrize("method", SYNTAXES)
def test_judges_and_dcmtk_read_compressed_objects(method, tmp_path):
    plain, paths = objects("none"), []
    for kind, ds in objects(method).items():
        if kind in WITH_PIXELS:
            paths.append(tmp_path / f"{kind}_1.dcm")
            ds.save_as(paths[-1], enforce_file_format=True)
    for path in paths:
        unpacked = tmp_path / f"unpacked_{path.name}"
        subprocess.run([DECOMPRESSORS[method], path, unpacked], check=True, capture_output=True)
        kind = path.stem.split("_")[0]
        assert np.array_equal(dcmread(unpacked).pixel_array, plain[kind].pixel_array)
        unpacked.unlink()
    tally = Tally()
    said = [text for name, found in judge(Objects(tuple(paths), ())).items() for text in tally.add(name, found)]
    assert [text for text in said if not text.startswith("dcm2pnm")] == []  # dcmtk's own program takes no JPEG-LS
