import numpy as np
import pandas as pd
import pytest
from ferplus_tables import TRAIN, face, write, write_tables

from keras_noisyfer.datasets import pairing
from keras_noisyfer.datasets.ferplus import load_ferplus
from keras_noisyfer.datasets.pairing import (
    check_numbers,
    check_order,
    check_pixels,
    row_checksums,
)

IMAGES = np.arange(5 * 48 * 48, dtype="uint16").reshape(5, 48, 48, 1)
IMAGES = (IMAGES % 251).astype("uint8")
NAMES = [f"fer{number:07d}.png" for number in (0, 1, 2, 4, 5)]
PATHS = ("fer2013.csv", "fer2013new.csv")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Checksums of `IMAGES`; no image is number 3."""
    checksums = np.zeros((6, 6), "uint8")
    for number, image in zip((0, 1, 2, 4, 5), IMAGES, strict=True):
        each = pairing._checksum(image, size=6)
        checksums[number] = np.frombuffer(each, "uint8")
    np.save(tmp_path / "checksums.npy", checksums)
    monkeypatch.setattr(pairing, "CHECKSUMS", tmp_path / "checksums.npy")


def test_pixels_of_their_names(published):
    check_pixels(NAMES, IMAGES, PATHS)
    # Some of them, in any order.
    check_pixels(NAMES[3:0:-1], IMAGES[3:0:-1], PATHS)
    # Nothing is known of other pixels or names.
    check_pixels(NAMES, 255 - IMAGES, PATHS)
    check_pixels(["a.png", "fer0000003.png"], IMAGES[:2], PATHS)
    check_pixels(["fer0000099.png"], IMAGES[:1], PATHS)
    # Neither of those that some copy of FER2013 has changed.
    changed = IMAGES.copy()
    changed[2] += 1
    check_pixels(NAMES, changed, PATHS)


def test_copies_are_images_with_the_pixels_of_a_lower_number():
    checksums = np.load(pairing.CHECKSUMS)
    # fer0000077 is a training image, fer0032326 a test image.
    names = ["fer0000077.png", "fer0032326.png", "fer0000078.png", "a.png"]
    assert pairing.are_copies(names).tolist() == [False, True, False, False]
    named = [f"fer{number:07d}.png" for number in range(len(checksums))]
    # So many surplus images are in 1,513 groups of equal ones.
    assert pairing.are_copies(named).sum() == 1840
    assert not pairing.are_copies(["fer9999999.png"]).any()


@pytest.mark.parametrize("swapped", [(0, 1), (1, 4), (3, 2)])
def test_two_images_that_have_changed_places(published, swapped):
    images = IMAGES.copy()
    images[list(swapped)] = images[list(swapped[::-1])]
    message = "fer2013new.csv must have the rows of fer2013.csv in their order"
    with pytest.raises(ValueError, match=f"{message}.* for fer000000"):
        check_pixels(NAMES, images, PATHS)


@pytest.mark.parametrize("name", ["fer2013new.csv", "fer2013.csv"])
def test_rows_that_have_changed_places(name, monkeypatch, tmp_path):
    tables = write_tables(tmp_path)
    checksums = np.zeros((10, 6), "uint8")
    for row, each in zip(TRAIN, load_ferplus(tables).names, strict=True):
        digest = pairing._checksum(face(row), size=6)
        checksums[int(each[3:10])] = np.frombuffer(digest, "uint8")
    np.save(tmp_path / "checksums.npy", checksums)
    monkeypatch.setattr(pairing, "CHECKSUMS", tmp_path / "checksums.npy")
    load_ferplus(tables)
    lines = (tables / name).read_text().splitlines()
    # Of named images; the pixels of a removed row are not known.
    for first, second in ((1, 7), (4, 5), (1, 6)):
        both = lines[:]
        both[first], both[second] = lines[second], lines[first]
        write(tables / name, both)
        with pytest.raises(ValueError, match="must have (its|the) rows"):
            load_ferplus(tables)


def test_the_checksums_that_are_kept():
    checksums = np.load(pairing.CHECKSUMS)
    assert checksums.shape == (35_802, 6) and checksums.dtype == np.uint8
    # Those of the images that FER+ names.
    assert checksums.any(axis=1).sum() == 35_708


def test_names_in_the_published_order():
    names = [*NAMES[:2], "", NAMES[4], *NAMES[2:]]
    # The image of number 5 is there twice, as four published ones are.
    check_numbers(pd.Series(names), "t.csv")
    check_numbers(pd.Series(["b.png", "", "a.png"]), "t.csv")
    names[0], names[4] = names[4], names[0]
    names[2] = f"fer{'9' * 30}.png"
    with pytest.raises(ValueError, match="t.csv .*fer0000001.* fer0000002.png"):
        check_numbers(pd.Series(names), "t.csv")


def test_rows_in_the_published_order():
    rows = np.array([[1, 2], [1, 3], [0, 0], [1, 2]], "uint8")
    published = row_checksums(rows)
    check_order(rows, published, "Rows")
    # Equal rows may change places, other rows may be in any order.
    check_order(rows[[3, 1, 2, 0]], published, "Rows")
    check_order(rows[::-1] + 1, published, "Rows")
    with pytest.raises(ValueError, match="^Rows must be in the order.*another"):
        check_order(rows[[1, 0, 2, 3]], published, "Rows")
