import concurrent.futures

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_noisyfer import align_faces
from keras_noisyfer.datasets.synthetic_faces import load_synthetic_faces
from keras_noisyfer.serving import photographs
from keras_noisyfer.serving.predictor import Predictor

TASKS = {
    "expression": {"classes": ["sad", "happy"]},
    "affect": {"dimensions": ["valence", "arousal"]},
}


def drawn_photograph(faces, size=192, margin=120):
    """Drawn faces side by side on gray."""
    image = Image.new(
        "RGB",
        (margin + len(faces) * (size + margin), size + 2 * margin),
        "gray",
    )
    for index, face in enumerate(faces):
        face = Image.fromarray(face).resize((size, size))
        image.paste(face, (margin + index * (size + margin), margin))
    return image


class Brightness(Predictor):
    """Says that bright images are happy."""

    def __init__(self):
        self.tasks, self.seen = TASKS, []

    def predict(self, images):
        self.seen += images
        bright = np.array([np.mean(each) / 255 for each in images])
        return {
            "expression": np.stack([1 - bright, bright], axis=1),
            "affect": np.stack([bright, -bright], axis=1),
        }


def test_finds_most_drawn_faces_where_they_are():
    pytest.importorskip("cv2")
    data = load_synthetic_faces(None, "test", 1, 12, image_size=96)
    image = drawn_photograph(data.images.images)
    boxes = photographs.find_faces(image)
    assert boxes.dtype == "int64" and boxes.shape[1] == 4
    sizes = boxes[:, 2] - boxes[:, 0]
    assert (np.diff(sizes) <= 0).all()
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    places = 120 + np.arange(12) * 312 + 96
    found = [
        (np.hypot(*(centers - (place, 216)).T) < 60).any() for place in places
    ]
    assert sum(found) >= 4
    assert photographs.find_faces(Image.new("RGB", (300, 200))).shape == (0, 4)


def test_threads_find_what_one_finds():
    pytest.importorskip("cv2")
    data = load_synthetic_faces(None, "test", 1, 6, image_size=96)
    images = [
        drawn_photograph(data.images.images[:count]) for count in (6, 2, 4)
    ] * 6
    alone = [photographs.find_faces(image).tolist() for image in images]
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        found = threads.map(photographs.find_faces, images)
        assert [boxes.tolist() for boxes in found] == alone


def test_crop_may_reach_over_the_edge():
    image = Image.new("RGB", (60, 60), "white")
    face = photographs.crop_face(image, (-20, 10, 40, 70))
    pixels = np.asarray(face)
    assert pixels.shape == (60, 60, 3)
    assert pixels[:50, 20:].min() == 255
    assert pixels[:, :20].max() == 0 and pixels[50:].max() == 0


@pytest.mark.parametrize(("fall", "is_turned"), [(20, True), (90, False)])
def test_crop_levels_the_eyes(monkeypatch, fall, is_turned):
    """The line of the eyes falls by so much on 100 pixels."""
    image = Image.new("RGB", (300, 300))
    draw = ImageDraw.Draw(image)
    eyes = [(100, 140 - fall / 2), (200, 140 + fall / 2)]
    for x, y in eyes:
        draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill="white")

    class Eyes:
        def detectMultiScale(self, *arguments, **options):
            # In the crop, whose corner is at 50, 50.
            return [(x - 62, y - 62, 24, 24) for x, y in eyes]

    monkeypatch.setattr(photographs, "_cascade", lambda name: Eyes())
    face = photographs.crop_face(image, (50, 50, 250, 250))
    pixels = np.asarray(face.convert("L")).astype(float)
    rows = np.arange(200)[:, None]
    heights = [
        (half * rows).sum() / half.sum()
        for half in (pixels[:, :100], pixels[:, 100:])
    ]
    expected = 0 if is_turned else fall
    assert heights[1] - heights[0] == pytest.approx(expected, abs=1.5)


def test_eyes_are_those_that_faces_are_aligned_by(monkeypatch, tmp_path):
    class Cascade:
        def __init__(self, name):
            # Of the face in the photograph, of the eyes in the face.
            self.found = {
                "frontalface_default": [(40, 20, 100, 100)],
                "eye": [(60, 30, 20, 20), (20, 25, 20, 20)],
            }[name]

        def detectMultiScale(self, *arguments, **options):
            return self.found

    monkeypatch.setattr(photographs, "_cascade", Cascade)
    image = np.zeros((200, 200, 3), "uint8")
    eyes = photographs.find_eyes(image)
    np.testing.assert_array_equal(eyes, [[70, 55], [110, 60]])
    given, made = tmp_path / "photographs", tmp_path / "aligned"
    given.mkdir()
    Image.fromarray(image).save(given / "a.png")
    align_faces(given, made, ["a.png"], photographs.find_eyes, size=64)
    assert Image.open(made / "a.png").size == (64, 64)
    # Three eyes, or two in one half, are mistakes.
    monkeypatch.setattr(Cascade, "detectMultiScale", lambda *a, **k: [])
    assert photographs.find_eyes(image) is None


@pytest.fixture
def photograph(tmp_path):
    image = Image.new("RGB", (200, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    image.save(tmp_path / "party.png")
    return tmp_path / "party.png"


def test_each_face_of_a_photograph_has_a_row(photograph, monkeypatch):
    monkeypatch.setattr(photographs, "_tilt", lambda face: 0.0)
    boxes = [(110, 10, 190, 90), (10, 20, 60, 70)]
    predictor = Brightness()
    rows = list(predictor.rows([photograph], 1, lambda image: boxes))
    assert [each.size for each in predictor.seen] == [(80, 80), (50, 50)]
    assert [row["expression"] for row in rows] == ["happy", "sad"]
    sides = ("left", "top", "right", "bottom")
    assert [tuple(row[side] for side in sides) for row in rows] == boxes
    assert {row["image"] for row in rows} == {str(photograph)}
    assert rows[0]["affect_valence"] == pytest.approx(1)
    # A crop is predicted for as it is.
    (row,) = predictor.rows([photograph])
    assert row["expression_happy"] == pytest.approx(0.5)
    assert not row.keys() & set(sides)


def test_photograph_without_a_face_is_told(photograph):
    (row,) = Brightness().rows([photograph], find_faces=lambda image: [])
    assert row == {"image": str(photograph), "error": "no face was found"}


def test_wrong_arguments_are_named(photograph):
    for paths in (str(photograph), None):
        with pytest.raises(ValueError, match="`paths` must be a list of paths"):
            next(Brightness().rows(paths))
    with pytest.raises(ValueError, match="`find_faces` must be a function"):
        next(Brightness().rows([photograph], find_faces=True))
    image, pixels = Image.new("RGB", (9, 9)), np.zeros((9, 9, 3), "uint8")
    for function, given in (
        (photographs.find_faces, pixels),
        (photographs.find_eyes, image),
    ):
        with pytest.raises(ValueError, match="`image` must be a"):
            function(given)
    with pytest.raises(ValueError, match="`image` must be a PIL image"):
        photographs.crop_face(pixels, (0, 0, 5, 5))
    with pytest.raises(ValueError, match="`box` must be left.*5, 0, 0, 5"):
        photographs.crop_face(image, (5, 0, 0, 5))
    rows = [{"image": "a.png", "error": "no face was found"}]
    with pytest.raises(ValueError, match="`rows` must be of faces, with left"):
        photographs.plot_faces(image, rows, TASKS)
    with pytest.raises(ValueError, match="`most` must be at least 0"):
        photographs.plot_faces(image, [], TASKS, most=-1)


@pytest.mark.parametrize(
    "boxes",
    [
        [(90, 10, 10, 90)],
        [(10, 10, 10, 90)],
        [(10, 10, 80)],
        [(1, 2, 3, 4, 0.9)],
        [(0, 0, np.nan, 9)],
        [(200, 0, 240, 90)],
        [(-50, 0, 0, 90)],
        None,
        "faces",
        (0, 0, 50, 50),
        np.full((30, 5), 9),
    ],
)
def test_what_are_no_boxes_is_refused(photograph, boxes):
    expected = "`find_faces` must be left, top, .* image, of 200x100. Received:"
    with pytest.raises(ValueError, match=expected):
        next(Brightness().rows([photograph], find_faces=lambda image: boxes))


def test_figure_has_a_box_and_panels_a_face(photograph, monkeypatch):
    monkeypatch.setattr(photographs, "_tilt", lambda face: 0.0)
    boxes = [(110, 10, 190, 90), (10, 20, 60, 70), (60, 0, 80, 20)]
    rows = list(Brightness().rows([photograph], 8, lambda image: boxes))
    image = Image.open(photograph)
    figure = photographs.plot_faces(image, rows, TASKS, most=2)
    first, *others = figure.axes
    assert [patch.get_xy() for patch in first.patches] == [
        box[:2] for box in boxes
    ]
    titles = [panel.get_title() for panel in others]
    assert titles == ["1: expression", "1: affect"] + [
        "2: expression",
        "2: affect",
    ]
    widths = [patch.get_width() for patch in others[0].patches]
    assert widths == pytest.approx([0, 1])
    np.testing.assert_allclose(others[1].lines[0].get_xydata(), [[1, -1]])


def test_names_are_no_formulas():
    box = {"left": 0, "top": 0, "right": 9, "bottom": 9}
    tasks = {"$t_{$": {"classes": ["$x_{$", "$1"]}}
    rows = [{**box, "$t_{$_$x_{$": 0.5, "$t_{$_$1": 0.5}]
    figure = photographs.plot_faces(Image.new("RGB", (9, 9)), rows, tasks)
    figure.draw_without_rendering()
    assert figure.axes[1].get_yticklabels()[1].get_text() == r"\$1"


def test_opencv_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    photographs._cascade.cache_clear()
    with pytest.raises(ImportError, match=r"keras_noisyfer\[faces\]"):
        photographs.find_faces(Image.new("RGB", (64, 64)))
