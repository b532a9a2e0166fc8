import importlib
import shutil

import numpy as np
import pytest
from common import RECIPES, free_port
from PIL import Image

from noisyfer import main

pytest.importorskip("gradio", reason="needs the extra `demo`")

SAVED_MODELS = RECIPES.parent / "saved_models"
FACE = RECIPES.parent / "results" / "quickstart" / "face.png"
EXPRESSIONS = 7


@pytest.fixture(scope="module")
def demo():
    return importlib.import_module("noisyfer.demo")


@pytest.fixture(scope="module")
def page(demo):
    predictor = demo.Predictor(SAVED_MODELS / "quickstart")
    folder = SAVED_MODELS / "quickstart_decoder"
    decoder = demo.load_decoder(folder, predictor.tasks)
    return demo.Page(predictor, decoder)


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "<b>bad.png"
    path.write_text("no image")
    return str(path)


def test_one_image(page):
    message, faces, decoded, classes, plane = page.show_one(str(FACE))
    assert message == "" and faces is None
    assert len(classes) == EXPRESSIONS
    assert sum(classes.values()) == pytest.approx(1, abs=1e-5)
    (row,) = page.predictor.rows([FACE])
    assert max(classes, key=classes.get) == row["expression"]
    (point, *_) = plane.axes[0].lines
    expected = [[row["affect_valence"]], [row["affect_arousal"]]]
    np.testing.assert_allclose(point.get_data(), expected)
    assert plane.axes[0].get_xlabel() == "valence"
    assert decoded.shape == (256, 256, 3) and decoded.dtype == "uint8"
    assert decoded.std() > 1


def test_a_bad_image_gets_a_message(page, bad):
    message, *shown = page.show_one(bad)
    assert message.startswith("**Nothing is predicted:** not an image")
    assert shown == [None] * 4


def test_faces_of_a_photograph_are_shown(demo, page):
    boxes = [(4, 4, 28, 28), (0, 0, 16, 16)]
    shown = demo.Page(page.predictor, find_faces=lambda image: boxes)
    message, faces, decoded, classes, _ = shown.show_one(str(FACE))
    assert message == "" and decoded is None
    assert len(faces.axes[0].patches) == 2
    first, _ = page.predictor.rows([FACE], find_faces=lambda image: boxes)
    assert max(classes, key=classes.get) == first["expression"]
    assert shown.show_several([str(FACE)])["face"].to_list() == [1, 2]
    shown.find_faces = lambda image: []
    message, *others = shown.show_one(str(FACE))
    assert message == "**Nothing is predicted:** no face was found"
    assert others == [None] * 4


def test_no_image_clears_the_page(page):
    assert page.show_one(None) == ["", None, None, None, None]


def test_several_images_give_a_table(page, bad):
    table = page.show_several([str(FACE), bad])
    assert list(table) == [
        "image",
        "expression",
        "valence",
        "arousal",
        "problem",
    ]
    assert table["image"].tolist() == ["face.png", "<b>bad.png"]
    assert table["problem"][0] == "" and "not an image" in table["problem"][1]
    assert table["expression"][1] == ""


def test_several_values_are_drawn_as_bars(demo):
    (panel,) = demo.plot_values(["a", "b", "c"], [0.1, -0.2, 0.3]).axes
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == [0.1, -0.2, 0.3]


def test_a_folder_without_decoder_is_refused(tmp_path, capsys):
    model = str(SAVED_MODELS / "quickstart")
    with pytest.raises(SystemExit):
        main(["demo", "--model", model, "--decoder", str(tmp_path)])
    assert "error: --decoder must be a folder" in capsys.readouterr().err
    # One that draws nothing, and one of classes in another order.
    decoder = str(SAVED_MODELS / "quickstart_decoder")
    other = str(SAVED_MODELS / "ferplus")
    for pair in ((model, model), (other, decoder)):
        with pytest.raises(SystemExit):
            main(["demo", "--model", pair[0], "--decoder", pair[1]])
        message = "error: --decoder must draw the tasks and classes of the mod"
        assert message in capsys.readouterr().err


@pytest.mark.smoke
@pytest.mark.browser
def test_in_a_browser(page, tmp_path, bad):
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is not on PATH"
    _, _, _, classes, _ = page.show_one(str(FACE))
    best = max(classes, key=classes.get)
    built = page.build()
    _, url, _ = built.launch(
        prevent_thread_lock=True, server_port=free_port(), quiet=True
    )
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            view = browser.new_page(viewport={"width": 1200, "height": 1300})
            view.goto(url)
            upload(view, [FACE])
            bars = view.locator("#task-expression")
            bars.get_by_text(best).first.wait_for()
            assert f"{100 * classes[best]:.0f}%" in bars.inner_text()
            picture = view.locator("#decoded img")
            assert picture.evaluate("image => image.naturalWidth") == 256
            view.screenshot(path=tmp_path / "one.png")

            view.get_by_label("Remove Image").first.click()
            bars.get_by_text(best).first.wait_for(state="detached")
            upload(view, [bad])
            panel(view).get_by_text("not an image: unknown").wait_for()

            view.get_by_role("tab", name="Several images").click()
            upload(view, [FACE, bad])
            for text in ("not an image: unknown", best):
                cell = panel(view).locator(f":text('{text}'):visible").first
                cell.wait_for()
            view.screenshot(path=tmp_path / "several.png")
            browser.close()
    finally:
        built.close()


def panel(view):
    return view.locator("[role=tabpanel]:visible")


def upload(view, paths):
    files = panel(view).locator("input[type=file]").first
    files.set_input_files([str(path) for path in paths])


def test_pictures_are_upright_rgb(page, tmp_path):
    path = tmp_path / "rotated.jpg"
    image = Image.open(FACE).convert("RGB").rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=100, subsampling=0)
    _, _, _, classes, _ = page.show_one(str(path))
    _, _, _, expected, _ = page.show_one(str(FACE))
    for name, value in classes.items():
        assert value == pytest.approx(expected[name], abs=0.02)
