"""The report page as a browser shows it: what it loads, what its controls do, how it fits a phone."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from operators.drawing.layers import draw
from operators.records.geometry import PixelBox
from operators.records.images import EncodedImage, Localization, Radiograph, Segmentation
from operators.records.sources import ExcludedImage
from operators.records.study import ReportedStudy, Study, StudyOutcome
from operators.reporting.output_folder import write_study
from operators.reporting.page import render_foot, render_head, render_study
from tests.monai_app.test_report import COUNTS, DESCRIPTION
from tests.phantoms import classification, source_image
from tests.phantoms import radiograph as radiograph_header
from training.datasets.phantoms import draw_phantom, mask_box

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
LAYERS = ("heat", "boxes", "outlines")
SIZES = {"desktop": (1280, 900), "phone": (390, 844), "narrow": (360, 780)}

pytestmark = pytest.mark.viewer
if os.environ.get("OSTEOMAP_EXTERNAL") != "required":
    pytest.importorskip("playwright")
    if CHROMIUM is None:
        pytest.skip("not installed: chromium", allow_module_level=True)


ASPECT = 1.5  # height of a pixel over its width, of the second image
LONG_NAME = "ward 3/" + "radiograph_of_the_left_hand_" * 8 + "1.dcm"


def image(seed: int, finding: str, state: str, aspect: float = 1.0, file: str = "hand.dcm") -> EncodedImage:
    phantom = draw_phantom(seed, finding)
    rows, columns = phantom.pixels.shape
    header = {"ImagerPixelSpacing": [0.2 * aspect, 0.2]}
    found = finding != "none"
    boxes = (PixelBox(*mask_box(phantom.mask)), PixelBox(columns - 30, 0, columns, 40)) if found else ()
    source = source_image(radiograph_header(f"{seed}", **header))
    source = dataclasses.replace(source, file=dataclasses.replace(source.file, name=file))
    radiograph = Radiograph(source, phantom.pixels)
    record = classification(state=state, rows=rows, columns=columns, radiograph=radiograph)
    localization = Localization(record, phantom.mask.astype(np.float32), boxes, (0.9, 0.4)[: len(boxes)])
    masks = (phantom.mask, np.zeros_like(phantom.mask))[: len(boxes)]
    record = Segmentation(localization, masks, (0.8, 0.1)[: len(boxes)])
    return EncodedImage(record, {}, ("1", "2"), (1, None), draw(record))


# The contrast of every text with what lies behind it (WCAG 2.2, 1.4.3), the worst first.
CONTRASTS = """all => {
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const page = light(getComputedStyle(document.body).backgroundColor);
  return all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
    const svg = e.tagName === "text", style = getComputedStyle(e);
    const ink = light(svg ? style.fill : style.color), paper = svg ? behind(e) : page;
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  }).sort((a, b) => a - b);
  function behind(text) {
    const at = text.getBoundingClientRect(), x = at.x + at.width / 2, y = at.y + at.height / 2;
    const under = [...text.parentNode.querySelectorAll("rect")].find(rect => {
      const box = rect.getBoundingClientRect();
      return box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
    });
    return under ? light(getComputedStyle(under).fill) : page;
  }
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A page of two studies: two findings, a normal image and a declined one; then a file that names no study."""
    folder = tmp_path_factory.mktemp("report")
    declined = ExcludedImage(source_image(body_part="CHEST"), "declined", "body_part_out_of_scope", "a note")
    findings = image(1, "step", "abnormal"), image(3, "step", "doubt", ASPECT, LONG_NAME)
    images = (*findings, image(2, "none", "normal"), declined)
    lost = ExcludedImage(source_image().file, "failed", "unreadable_file", "export the image again")
    studies = [
        ReportedStudy(Study("1.2.3", images), StudyOutcome("abnormal", 0.9), {}),
        ReportedStudy(Study(None, (lost,)), StudyOutcome("failed", None), {}),
    ]
    summaries = [write_study(reported, folder) for reported in studies]
    parts = [render_study(*both, DESCRIPTION, 10) for both in zip(studies, summaries, strict=True)]
    path = folder / "report.html"
    path.write_text("".join([render_head(DESCRIPTION, COUNTS, summaries), *parts, render_foot(DESCRIPTION)]), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - may be missing, see above

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, report):
    """Open the page in a context of one's choice; at the end nothing was loaded and nothing complained."""
    contexts, complaints = [], []

    def open_page(size: str = "desktop", **options):
        width, height = SIZES[size]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url[:80]) if is_outward(request.url) else None)
        page.goto(report.as_uri())
        return page

    def is_outward(url: str) -> bool:
        return not url.startswith("data:") and url != report.as_uri()

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def visible(page) -> dict[str, bool]:
    """Say which layers of the first image are shown."""
    script = "name => getComputedStyle(document.querySelector('.pictures .' + name)).display !== 'none'"
    return {name: page.evaluate(script, name) for name in LAYERS}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_loads_nothing(opened, size, scheme):
    page = opened(size, color_scheme=scheme)
    width = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
    assert width <= SIZES[size][0]
    wide = "e => e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1"
    boxed = page.eval_on_selector_all(
        "p, h1, h2, h3, td, th, table, dl, figure, label", f"all => all.filter({wide}).length"
    )
    assert boxed == 0
    assert page.eval_on_selector_all("body *:not(script)", CONTRASTS)[0] >= 4.5


@pytest.mark.parametrize("javascript", [True, False])
def test_each_layer_is_switched_by_the_keyboard(opened, javascript):
    page = opened(java_script_enabled=javascript)
    for layer in LAYERS:
        toggle = page.locator(f"input.t-{layer}").first
        toggle.focus()
        assert toggle.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        page.keyboard.press("Space")
        assert visible(page) == {name: name != layer for name in LAYERS}
        page.keyboard.press("Space")
        assert all(visible(page).values())


def test_the_tab_key_reaches_every_control(opened):
    page = opened()
    reached = []
    for _ in range(page.locator("a, input").count()):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    controls = page.eval_on_selector_all("input[id]", "all => all.map(e => e.id)")
    assert set(controls) <= set(reached)


def test_the_slider_changes_the_opacity_of_its_image_only(opened):
    page = opened()
    opacity = "all => all.map(e => Number(getComputedStyle(e).opacity))"
    assert page.eval_on_selector_all(".heat", opacity) == [0.55, 0.55]
    page.locator(".slider input").first.focus()
    page.keyboard.press("Home")
    assert page.eval_on_selector_all(".heat", opacity) == [0, 0.55]
    page.keyboard.press("End")
    assert page.eval_on_selector_all(".heat", opacity) == [1, 0.55]


def test_without_script_there_is_no_slider_and_all_else_is_there(opened):
    page = opened(java_script_enabled=False)
    assert not page.locator(".slider").first.is_visible()
    assert page.locator(".pictures svg").first.is_visible()
    page.locator("input.t-large").first.check()
    first, second = (page.locator(".pictures figure").nth(number).bounding_box() for number in (0, 1))
    assert second["y"] >= first["y"] + first["height"]


def test_the_layers_lie_where_the_radiograph_lies(opened):
    page = opened()
    areas = [
        page.locator(f".pictures figure:nth-child(2) {part}").first.bounding_box()
        for part in ("use", ".heat", ".boxes .box:nth-of-type(2)")
    ]
    assert areas[0] == pytest.approx(areas[1], abs=0.1)
    assert areas[0]["x"] < areas[2]["x"] < areas[0]["x"] + areas[0]["width"]


def test_a_normal_image_has_one_picture_and_no_heat_map(opened):
    page = opened()
    articles = page.locator("article:has(figure)")
    assert [articles.nth(number).locator("figure").count() for number in range(3)] == [2, 2, 1]
    normal = articles.nth(2)
    assert normal.locator(".layers > input").evaluate_all("all => all.map(e => e.className)") == ["t-large"]
    assert "Heat map" not in normal.inner_text()
    assert normal.locator("figure image").bounding_box()["width"] > 100


@pytest.mark.parametrize("figure", [1, 2])
def test_pixels_have_their_true_shape(opened, figure):
    page = opened()
    ratios = []
    for number in (0, 1):
        picture = page.locator("article").nth(number).locator(f"figure:nth-child({figure})")
        box = picture.locator("image, use").first.bounding_box()
        view = [float(edge) for edge in picture.locator("svg").first.get_attribute("viewBox").split()]
        assert box["height"] / box["width"] == pytest.approx(view[3] / view[2], rel=0.01)
        ratios.append(view[3])
    assert ratios[1] / ratios[0] == pytest.approx(ASPECT)


def test_box_and_outline_lie_on_each_other_in_an_image_of_oblong_pixels(opened):
    page = opened()
    parts = (".boxes .box", ".outlines .outline")
    box, outline = (page.locator("article").nth(1).locator(part).first.bounding_box() for part in parts)
    assert [outline[edge] for edge in box] == pytest.approx([box[edge] for edge in box], abs=6)  # of lines


def test_each_image_is_named_by_its_file(opened):
    page = opened("phone")
    assert page.locator(".file").all_inner_texts()[:2] == ["hand.dcm", LONG_NAME]
    assert page.locator("#studies a").first.inner_text() == "hand.dcm and 3 more"


def test_the_table_leads_to_each_study(opened):
    page = opened()
    for link in page.locator("#studies a").all():
        link.click()
        target = page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top")
        assert -1 <= target < SIZES["desktop"][1]


def test_it_prints_on_a4(opened):
    page = opened()
    page.locator("input.t-boxes").first.uncheck()
    page.emulate_media(media="print")
    assert not visible(page)["boxes"]
    assert not page.locator("input.t-heat").first.is_visible()
    assert page.locator("input.t-heat + label").first.is_visible()
    assert not page.locator("input.t-boxes + label").first.is_visible()
    document = page.pdf(prefer_css_page_size=True)
    assert b"/MediaBox [0 0 595" in document or b"/MediaBox [0 0 594" in document
