import math
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from keras_noisyfer.datasets.faces.alignment import (
    align_face,
    align_faces,
    eye_transform,
    read_eyes,
)

EYES = [[30.0, 40.0], [70.0, 40.0]]


def apply(matrix, point):
    return matrix @ (*point, 1)


def spots(points, size=(200, 160), radius=6.0):
    """Grey, with a soft white spot at each point."""
    y, x = np.mgrid[: size[1], : size[0]]
    image = np.full(x.shape, 60.0)
    for a, b in points:
        distance = (x - a) ** 2 + (y - b) ** 2
        image += 190 * np.exp(-distance / (2 * radius**2))
    image = np.repeat(image[..., None], 3, axis=-1).clip(0, 255)
    return Image.fromarray(np.round(image).astype("uint8"))


def spot_centre(image, near, reach=15):
    """Centre of mass of the spot, with whole numbers as pixel centres."""
    image = np.asarray(image).astype(float)[..., 0]
    x, y = (int(round(each)) for each in near)
    part = image[y - reach : y + reach + 1, x - reach : x + reach + 1] - 60
    part = part.clip(0)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    total = part.sum()
    return x + (part * columns).sum() / total, y + (part * rows).sum() / total


# ------------------------------------------------------------ transform --


def test_level_eyes_by_hand():
    # 40 pixels apart, to be 80: twice as large. (100, 120) goes to (60, 60).
    matrix = eye_transform((100, 120), (140, 120), size=200)
    np.testing.assert_allclose(matrix, [[2, 0, -140], [0, 2, -180]], atol=1e-9)


def test_a_turned_face_by_hand():
    # The right eye is 30 to the right and 40 down of the left: 50 apart, to
    # be 0.4 * 250 = 100. Cosine 0.6 and sine 0.8, twice as large.
    matrix = eye_transform((10, 20), (40, 60), size=250)
    expected = [[1.2, 1.6, 75 - 12 - 32], [-1.6, 1.2, 75 + 16 - 24]]
    np.testing.assert_allclose(matrix, expected, atol=1e-9)
    np.testing.assert_allclose(apply(matrix, (10, 20)), (75, 75))
    np.testing.assert_allclose(apply(matrix, (40, 60)), (175, 75))


def release_transform(left, right, size, x, y):
    """The steps of the authors' release: turn about the middle of the eyes,
    then shift that to the middle of the result."""
    (a, b), (c, d) = left, right
    angle = math.atan2(d - b, c - a)
    scale = (1 - 2 * x) * size / math.hypot(c - a, d - b)
    alpha, beta = scale * math.cos(angle), scale * math.sin(angle)
    middle = (a + c) / 2, (b + d) / 2
    return [
        [alpha, beta, size / 2 - alpha * middle[0] - beta * middle[1]],
        [-beta, alpha, size * y + beta * middle[0] - alpha * middle[1]],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_as_the_release_at_whole_pixels(seed):
    generator = np.random.default_rng(seed)
    # Even numbers: the release halves their sum to a whole number.
    left, right = 2 * generator.integers(10, 200, (2, 2))
    matrix = eye_transform(left, right, 256)
    expected = release_transform(left, right, 256, 0.3, 0.3)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_fractions_of_pixels_count():
    for left in ((30.9, 40.9), (30.0, 40.0)):
        matrix = eye_transform(left, (70.5, 45.2))
        np.testing.assert_allclose(apply(matrix, left), (76.8, 76.8))
        np.testing.assert_allclose(apply(matrix, (70.5, 45.2)), (179.2, 76.8))


def test_swapped_eyes_turn_the_face_upside_down():
    matrix = eye_transform((70, 40), (30, 40), size=100)
    np.testing.assert_allclose(matrix[:, :2], [[-1, 0], [0, -1]], atol=1e-9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "`size` must be at least 1"),
        ({"size": 64.5}, "`size` must be at least 1, an integer"),
        ({"right_eye": (31.9, 40)}, "at least 2 pixels apart"),
        ({"right_eye": (float("nan"), 40)}, "at least 2 pixels apart"),
    ],
)
def test_wrong_arguments(arguments, message):
    arguments = {"left_eye": (30, 40), "right_eye": (70, 40), **arguments}
    with pytest.raises(ValueError, match=message):
        eye_transform(**arguments)
    with pytest.raises(ValueError, match=message):
        align_face(Image.new("RGB", (100, 80)), **arguments)


# ---------------------------------------------------------------- faces --


@pytest.mark.parametrize(
    "eyes, enlarged",
    [
        ([[60, 70], [120, 70]], 1),
        ([[60.4, 90.7], [118.2, 61.3]], 1),
        ([[85.5, 60], [115, 99.5]], 1),
        # Shrunk to a fifth.
        ([[300, 300.5], [800, 350]], 8),
    ],
)
def test_eyes_end_where_they_should(eyes, enlarged):
    size = (200 * enlarged, 160 * enlarged)
    image = spots(eyes, size, radius=4.0 * enlarged)
    face = align_face(image, *eyes)
    assert face.size == (256, 256) and face.mode == "RGB"
    for x in (76.8, 179.2):
        centre = spot_centre(face, (x, 76.8))
        np.testing.assert_allclose(centre, (x, 76.8), atol=0.25)


def test_no_change_where_none_is_needed():
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), "uint8")
    face = align_face(Image.fromarray(noise), (24, 24), (56, 24), size=80)
    np.testing.assert_array_equal(face, noise)


def test_shifts_by_whole_pixels_and_leaves_black():
    noise = np.random.default_rng(0).integers(1, 256, (80, 80, 3), "uint8")
    face = align_face(Image.fromarray(noise), (14, 19), (46, 19), size=80)
    expected = np.zeros_like(noise)
    expected[5:, 10:] = noise[:-5, :-10]
    np.testing.assert_array_equal(face, expected)


def test_shrinking_does_not_alias():
    stripes = np.zeros((800, 800, 3), "uint8")
    stripes[:, ::2] = 255
    face = align_face(Image.fromarray(stripes), (240, 240), (560, 240), 100)
    inner = np.asarray(face)[2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127.5).max() < 3


# ------------------------------------------------------------ directories --


@pytest.fixture
def folder(tmp_path):
    """Images with spots as eyes, names and eye positions."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    names = ["a.jpg", "sub/b.PNG", "c.jpeg", "d.bmp"]
    generator = np.random.default_rng(0)
    eyes = np.array([[60.0, 70.0], [120.0, 75.0]])
    eyes = eyes + generator.uniform(-15, 15, (len(names), 2, 2))
    for name, each in zip(names, eyes, strict=True):
        spots(each).save(root / name)
    return root, names, eyes


def test_aligns_a_folder(folder, tmp_path):
    root, names, eyes = folder
    output = tmp_path / "faces"
    report = align_faces(root, output, names, eyes, size=128)
    assert str(report) == "accepted: 4 images"
    kinds = ("JPEG", "PNG", "JPEG", "BMP")
    for name, kind, each in zip(names, kinds, eyes, strict=True):
        with Image.open(output / name) as face, Image.open(root / name) as im:
            assert face.format == kind
            assert face.size == (128, 128) and face.mode == "RGB"
            for x in (38.4, 89.6):
                centre = spot_centre(face, (x, 38.4))
                np.testing.assert_allclose(centre, (x, 38.4), atol=0.3)
            expected = np.asarray(align_face(im, *each, 128)).astype(int)
            assert np.abs(np.asarray(face) - expected).max() <= 8
    kept_names, kept_eyes = read_eyes(output / "eyes.csv")
    assert kept_names == names
    np.testing.assert_allclose(kept_eyes, eyes)


def test_rejects_each_by_name(folder, tmp_path):
    root, names, _ = folder
    Image.new("CMYK", (100, 80)).save(root / "cmyk.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), "uint8")
    Image.fromarray(noise).save(root / "cut.jpg")
    data = (root / "cut.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(data[: len(data) // 2])
    grey = Image.new("L", (100, 80))
    cases = {
        "good.png": (EYES, None),
        "unknown.png": (np.full((2, 2), np.nan), "no eye positions"),
        "half_known.png": ([[30, 40], [np.nan, 40]], "no eye positions"),
        "one.png": ([[30, 40], [30, 40]], "eyes too close together"),
        "near.png": ([[30, 40], [31.5, 40]], "eyes too close together"),
        "out.png": ([[30, 40], [111, 40]], "eyes outside of the image"),
        "above.png": ([[30, -11], [70, 40]], "eyes outside of the image"),
        # Cut off faces have eyes a little outside.
        "border.png": ([[-9, 40], [70, 40]], None),
        "swapped.png": (EYES[::-1], "left eye right of the right eye"),
        "lying.png": ([[50, 20], [50, 60]], "left eye right of the right eye"),
        "cmyk.jpg": (EYES, "CMYK colours"),
        "cut.jpg": (EYES, "truncated or damaged image"),
        "nothing.jpg": (EYES, "missing image"),
        "../faces/good.png": (EYES, "path out of the image folder"),
    }
    for name in cases:
        if name.endswith("png") and not name.startswith(".."):
            grey.save(root / name)
    eyes = np.array([each for each, _ in cases.values()])
    output = tmp_path / "faces"
    report = align_faces(root, output, cases, eyes, on_error="skip")
    expected = [(n, p) for n, (_, p) in cases.items() if p is not None]
    assert [entry[:2] for entry in report.entries] == expected
    assert report.accepted == 2
    assert {path.name for path in output.iterdir()} == {
        "good.png",
        "border.png",
        "eyes.csv",
        "rejected.csv",
        "settings.json",
    }
    lines = (output / "rejected.csv").read_text().splitlines()
    assert lines[0] == "entry,problem,detail" and len(lines) == 13
    for name in ("one.png", "cmyk.jpg"):
        index = list(cases).index(name)
        with pytest.raises(ValueError, match=f"^{name}: {cases[name][1]} "):
            align_faces(root, tmp_path / name, [name], eyes[[index]])


def test_goes_on_where_it_was(folder, tmp_path):
    root, names, eyes = folder
    output = tmp_path / "faces"
    align_faces(root, output, names[:2], eyes[:2])
    made = os.stat(output / "a.jpg").st_ino
    report = align_faces(root, output, names, eyes)
    assert report.accepted == 4
    assert report.notes == {"made by an earlier run": 2}
    assert os.stat(output / "a.jpg").st_ino == made
    # A part of the images, in another order: each has its own eyes.
    report = align_faces(root, output, names[::-2], eyes[::-2])
    assert report.notes == {"made by an earlier run": 2}
    assert read_eyes(output / "eyes.csv")[0][:2] == names[::-2]
    assert set(read_eyes(output / "eyes.csv")[0]) == set(names)


def test_faces_of_other_settings_are_not_used(folder, tmp_path):
    root, names, eyes = folder
    output = tmp_path / "faces"
    align_faces(root, output, names[:1], eyes[:1], size=64)
    with pytest.raises(ValueError, match=r"made with size=64: choose another"):
        align_faces(root, output, names, eyes, size=128)
    with pytest.raises(ValueError, match="made with eyes='given'"):
        align_faces(root, output, names, lambda image: None, size=64)
    other = eyes.copy()
    other[0, 1, 0] += 0.01
    message = r"has a face that was made with other eye positions, a\.jpg"
    for changed in (other, np.full_like(eyes, np.nan)):
        with pytest.raises(ValueError, match=message):
            align_faces(root, output, names, changed, size=64)
    assert not (output / "c.jpeg").exists()
    # Of an image that was never made they may be put right.
    other = eyes.copy()
    other[2] += 1
    align_faces(root, output, names[:3], np.r_[eyes[:2], other[2:3]], size=64)
    np.testing.assert_allclose(read_eyes(output / "eyes.csv")[1][2], other[2])


# ------------------------------------------------------------- detector --


def test_a_detector_finds_the_eyes(folder, tmp_path):
    root, names, eyes = folder
    by_pixels = {}
    for name, each in zip(names, eyes, strict=True):
        with Image.open(root / name) as image:
            by_pixels[np.asarray(image.convert("RGB")).tobytes()] = each
    by_pixels.popitem()
    busy = threading.Lock()

    def detector(image):
        assert image.dtype == np.uint8 and image.shape == (160, 200, 3)
        # Never called by two threads at once.
        assert busy.acquire(blocking=False)
        time.sleep(0.01)
        busy.release()
        return by_pixels.get(image.tobytes())

    arguments = (root, tmp_path / "found", names, detector)
    report = align_faces(*arguments, on_error="skip", workers=4)
    assert report.entries == [("d.bmp", "no eye positions", "")]
    align_faces(root, tmp_path / "given", names, eyes)
    for name in names[:3]:
        found = (tmp_path / "found" / name).read_bytes()
        assert found == (tmp_path / "given" / name).read_bytes()


def test_a_detector_of_another_shape_is_an_error(folder, tmp_path):
    root, names, _ = folder
    message = r"`eyes` must return an array of shape \(2, 2\) or None"
    with pytest.raises(ValueError, match=message):
        align_faces(root, tmp_path / "faces", names, lambda image: [1, 2, 3, 4])


def test_a_failing_detector_stops_the_run(folder, tmp_path):
    root, names, _ = folder

    def detector(image):
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError, match="no weights"):
        align_faces(root, tmp_path / "faces", names, detector, on_error="skip")


def test_eyes_need_one_entry_a_name(folder, tmp_path):
    root, names, eyes = folder
    for wrong in (eyes[:3], eyes.reshape(4, 4)):
        with pytest.raises(ValueError, match=r"`eyes` must have shape"):
            align_faces(root, tmp_path / "faces", names, wrong)
    assert not (tmp_path / "faces").exists()
