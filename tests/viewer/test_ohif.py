"""What a radiologist sees of the results in OHIF, measured on screenshots; ``build/viewer/screenshots`` keeps them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.integration.judges import VIEWER
from tests.viewer.conftest import Viewer

pytestmark = [pytest.mark.viewer, pytest.mark.external]

MODALITIES = {"sr": "SR", "pdf": "DOC", "seg": "SEG", "heatmap": "SEG", "labelmap": "SEG", "sc": "OT", "gsps": "PR"}

STEPS = np.arange(-1, 1.01, 0.25)  # pixels of the image, each about one of the page


def red(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a radiograph, which is grey, is covered with the first segment's red."""
    channels = picture.astype(int)
    return channels[..., 0] - channels[..., 1:].max(axis=-1) > 12


def image_places(viewer: Viewer, matrix: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the row and column, as indices of an image's matrix, that each pixel of the page shows (2, ...)."""
    left, top, right, bottom = viewer.place(*matrix)
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.stack(
        ((row - top) / (bottom - top) * matrix[0] - 0.5, (column - left) / (right - left) * matrix[1] - 0.5)
    )


def sample(image: NDArray[np.generic], places: NDArray[np.float64], order: int = 1) -> NDArray[np.float64]:
    return ndimage.map_coordinates(image.astype(np.float64), places, order=order, mode="constant", cval=0)


def shown_at(viewer: Viewer, picture: NDArray[np.uint8], image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``image_places``, moved by what fits best: the viewer rounds its geometry to a pixel of the page."""
    places = image_places(viewer, image.shape, picture.shape[:2])
    middle = (
        slice(places.shape[1] // 4, -places.shape[1] // 4, 3),
        slice(places.shape[2] // 3, -places.shape[2] // 4, 3),
    )
    grey = picture[middle].astype(float).mean(axis=-1)
    steps = [np.array((rows, columns))[:, None, None] for rows in STEPS for columns in STEPS]
    worst = [np.abs(sample(image, places[:, *middle] + step) - grey).mean() for step in steps]
    return places + steps[int(np.argmin(worst))]


def on_page(mask: NDArray[np.bool_], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of image pixels as a mask of the page."""
    return sample(mask, places, order=0) > 0.5


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_the_study_opens_with_all_its_series(viewer):
    def listed_and_shown() -> None:
        picture = viewer.picture("study")
        listed = viewer.page.locator("[data-cy^=study-browser-thumbnail]").all_inner_texts()
        for kind, ds in viewer.archived.objects.items():
            if kind != "source":
                assert any(text.split("\n")[:2] == [MODALITIES[kind], ds.SeriesDescription] for text in listed), (
                    f"{kind}: {listed}"
                )
        everywhere = np.ones_like(viewer.archived.mask)
        assert not (red(picture) & on_page(everywhere, shown_at(viewer, picture, viewer.archived.levels))).any()

    viewer.eventually(listed_and_shown)
    assert viewer.complaints == []


def test_the_segmentation_covers_the_pixels_of_its_mask(viewer, tally):
    viewer.open_series("OsteoMAP segmentation", "open this Segmentation?")
    viewer.page.get_by_role("button", name="Yes").click()
    viewer.page.get_by_text("open this Segmentation?").wait_for(state="hidden")
    viewer.page.wait_for_timeout(2_000)
    viewer.picture("segmentation")
    viewer.page.set_viewport_size({"width": 1280, "height": 1400})  # two pixels of the page for one of the mask
    viewer.page.wait_for_timeout(2_000)

    def covered() -> None:
        picture = viewer.picture("segmentation_large")
        seen, expected = red(picture), on_page(viewer.archived.mask, shown_at(viewer, picture, viewer.archived.levels))
        assert expected.sum() > 2_000
        assert overlap(seen, expected) >= 0.95

    viewer.eventually(covered)
    assert viewer.complaints == []
    tally.count(VIEWER, "seg")


def test_the_report_opens_and_its_box_is_drawn(viewer, tally):
    viewer.open_series("OsteoMAP report", "Area: ")

    def drawn() -> None:
        picture = viewer.picture("report")
        yellow = (picture[..., :2].min(axis=-1).astype(int) - picture[..., 2]) > 100
        rows, columns = (
            np.flatnonzero(viewer.archived.mask.any(axis=1)),
            np.flatnonzero(viewer.archived.mask.any(axis=0)),
        )
        box = np.zeros_like(viewer.archived.mask)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        shown = np.argwhere(on_page(box, shown_at(viewer, picture, viewer.archived.levels)))
        (top, left), (bottom, right) = shown.min(axis=0), shown.max(axis=0)
        for line in (yellow[top - 3 : top + 4, left:right], yellow[bottom - 3 : bottom + 4, left:right]):
            assert line.any(axis=0).mean() > 0.4  # dashed
        for line in (yellow[top:bottom, left - 3 : left + 4], yellow[top:bottom, right - 3 : right + 4]):
            assert line.any(axis=1).mean() > 0.4

    viewer.eventually(drawn)
    assert viewer.complaints == []
    tally.count(VIEWER, "sr")


def test_the_secondary_capture_is_shown_as_it_is(viewer, tally):
    ds = viewer.archived.objects["sc"]
    viewer.open_series(ds.SeriesDescription, ds.SeriesDescription)
    viewer.page.keyboard.press("c")  # puts the player for loops away
    viewer.page.wait_for_timeout(1_000)

    def shown() -> None:
        picture = viewer.picture("secondary_capture")
        places = shown_at(viewer, picture, ds.pixel_array.mean(axis=-1))
        # The middle of the picture: the viewer writes into the corners and over the upper edge.
        middle = np.zeros((ds.Rows, ds.Columns), bool)
        middle[ds.Rows // 4 : ds.Rows * 3 // 4, ds.Columns // 10 : ds.Columns * 9 // 10] = True
        seen = picture[on_page(middle, places)].astype(int)
        expected = np.stack(
            [sample(channel, places)[on_page(middle, places)] for channel in ds.pixel_array.transpose(2, 0, 1)], -1
        )
        difference = np.abs(seen - expected)
        assert difference.mean() < 4
        assert np.ptp(seen, axis=-1).max() > 60  # in colour

    viewer.eventually(shown)
    assert viewer.complaints == []
    tally.count(VIEWER, "sc")


def test_the_heat_map_does_no_harm(viewer):
    """This OHIF says that it does not draw FRACTIONAL segmentations; what was open opens again."""
    viewer.page.locator("[data-cy^=study-browser-thumbnail]").filter(has_text="OsteoMAP heat map").first.dblclick()
    viewer.page.wait_for_timeout(5_000)
    viewer.picture("heat_map")
    assert [text for text in viewer.complaints if "Fractional segmentations are not yet supported" not in text] == []
    viewer.complaints.clear()
    viewer.open_series("OsteoMAP picture", "OsteoMAP picture")
    viewer.place(10, 10)
    assert viewer.complaints == []
