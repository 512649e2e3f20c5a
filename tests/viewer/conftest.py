"""A study of one fractured phantom in an archive, and the viewer open on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy import ndimage

from operators.encoding.image_objects import encode_image
from operators.records.images import Radiograph
from operators.records.study import Study
from operators.reporting.output_folder import write_study
from tests.built_studies import DESCRIPTION, EVERY_OBJECT, PROVENANCE, outline
from tests.integration.orthanc import running_orthanc
from tests.phantoms import source_image
from tests.segmentations import report
from tests.viewer.ohif import FOLDER, installed, serving_viewer
from training import demo
from training.datasets.phantoms import draw_phantom

# Drawn by the processor: the machines that test have no graphics card.
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The viewer remembers here which of its tours a user has seen; a tour covers the images and may miss its place.
NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
SCREENSHOTS = FOLDER / "screenshots"
# Where a pixel of the image lies on the page, by the viewer's own geometry.
CORNERS = """size => {
    const grid = document.querySelector("[data-cy=viewport-grid]");
    const viewport = cornerstone.getRenderingEngines().flatMap(engine => engine.getViewports())
        .find(one => grid.contains(one.canvas));
    const page = viewport.canvas.getBoundingClientRect();
    const place = point => viewport.worldToCanvas(
        cornerstone.utilities.imageToWorldCoords(viewport.getCurrentImageId(), point));
    return [[0, 0], size].map(place).map(([x, y]) => [x + page.x, y + page.y]);
}"""


@dataclass
class Archived:
    """The objects of the study by kind, the mask that was written, and the image as a screen shows it, 0 to 255."""

    study_uid: str
    objects: dict[str, Dataset]
    mask: NDArray[np.bool_]
    levels: NDArray[np.float64]


@dataclass
class Viewer:
    """The page, and what it has complained of."""

    page: Page
    archived: Archived
    complaints: list[str] = field(default_factory=list)

    def open_series(self, description: str, shown: str) -> None:
        """Double-click a series until a text of it, or the image, is on the page.

        A viewer that is still loading may miss a click, and may then stay as it is: it is loaded again.
        """

        def opened() -> None:
            self.page.locator("[data-cy^=study-browser-thumbnail]").filter(has_text=description).first.dblclick()
            try:
                self.page.get_by_text(shown).first.wait_for(timeout=20_000)
            except PlaywrightError:
                self.page.reload(wait_until="domcontentloaded")
                self.wait_for_image()
                raise

        self.eventually(opened, seconds=180)
        self.page.wait_for_timeout(3_000)  # the canvas is drawn after the text

    def wait_for_image(self) -> None:
        """Wait until the first image of the study is on the page."""
        self.page.locator(".cornerstone-canvas").first.wait_for(timeout=120_000)
        self.page.wait_for_timeout(3_000)

    def picture(self, name: str) -> NDArray[np.uint8]:
        """Keep a screenshot; return it as (rows, columns, 3)."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        data = self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def eventually(self, check: Callable[[], None], seconds: float = 60) -> None:
        """Repeat a check until it passes: how long a slow machine takes to draw is nobody's mistake."""
        end = time.monotonic() + seconds
        while True:
            try:
                return check()
            except (AssertionError, ValueError, PlaywrightError):
                if time.monotonic() > end:
                    raise
            self.page.wait_for_timeout(1_000)

    def place(self, rows: int, columns: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the image on the page; the viewer counts from pixel edges."""
        (left, top), (right, bottom) = self.page.evaluate(CORNERS, [columns, rows])
        return left, top, right, bottom


def write_phantom_study(folder: Path) -> Archived:
    """Write the demonstration's fracture and all that would be made of it, the mask drawn about the fracture."""
    demo.write(folder / "input")
    source = dcmread(folder / "input" / "fracture.dcm")
    phantom = draw_phantom(demo.FRACTURE_SEED, "step")
    mask = ndimage.binary_dilation(phantom.mask, iterations=6)
    heatmap = ndimage.gaussian_filter(mask.astype(np.float64), 12)
    radiograph = Radiograph(source_image(source), phantom.pixels.astype(np.float32))
    found = outline(radiograph, "abnormal", (mask,), heatmap / heatmap.max())
    encoded = encode_image(found, 1, EVERY_OBJECT, PROVENANCE)
    reported = report(Study(str(source.StudyInstanceUID), (encoded,)), DESCRIPTION, EVERY_OBJECT)
    written = write_study(reported, folder / "output").outputs
    objects = {Path(item.file).stem.split("_")[0]: dcmread(folder / "output" / item.file) for item in written}
    return Archived(str(source.StudyInstanceUID), {"source": source} | objects, mask, phantom.pixels * 255.0)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[tuple[str, Archived]]:
    folder = tmp_path_factory.mktemp("viewer")
    archived = write_phantom_study(folder)
    with running_orthanc(folder / "orthanc") as orthanc, serving_viewer(installed(), orthanc.address) as url:
        orthanc.web.store_instances(list(archived.objects.values()))
        yield url, archived


@pytest.fixture
def viewer(address) -> Iterator[Viewer]:
    """The viewer, open on the study, in a browser of its own: what one test does to the page, no other sees."""
    url, archived = address
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        opened = Viewer(page, archived)
        page.on("pageerror", lambda error: opened.complaints.append(f"page: {error}"))
        page.on("console", lambda said: said.type == "error" and opened.complaints.append(f"console: {said.text}"))
        page.add_init_script(NO_TOUR)
        page.goto(f"{url}/viewer?StudyInstanceUIDs={archived.study_uid}", wait_until="domcontentloaded")
        opened.wait_for_image()
        yield opened
        browser.close()
