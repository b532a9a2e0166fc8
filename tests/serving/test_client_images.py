"""Files as clients send them are served as a viewer shows them."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_noisyfer.datasets.image_files import upright_rgb
from keras_noisyfer.serving.client_images import decode_upright


def make_file(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_image(channels=3, mode=None):
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (12, 8, channels), "uint8")
    return Image.fromarray(pixels, mode)


def exif(orientation, order):
    sign = b"II*\0" if order == "<" else b"MM\0*"
    fields = 8, 1, 0x0112, 3, 1, orientation, 0, 0
    return b"Exif\0\0" + sign + struct.pack(f"{order}IHHHIHHI", *fields)


def assert_as_shown(file, atol=0):
    shown = np.asarray(upright_rgb(Image.open(io.BytesIO(file)))).astype(int)
    read = decode_upright(tf.constant(file), 3).numpy()
    assert read.shape == shown.shape
    np.testing.assert_allclose(read, shown, rtol=0, atol=atol)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(10))
def test_photographs_are_turned_upright(orientation, order):
    options = {"exif": exif(orientation, order), "subsampling": 0}
    file = make_file(make_image(), "JPEG", **options)
    assert Image.open(io.BytesIO(file)).getexif()[0x0112] == orientation
    assert_as_shown(file)
    # In a chunk of its own.
    assert_as_shown(make_file(make_image(), exif=options["exif"]))
    assert_as_shown(make_file(make_image(4, "RGBA"), exif=options["exif"]))


@pytest.mark.parametrize(
    "file",
    [
        make_file(make_image(4, "RGBA")),
        make_file(make_image(2, "LA")),
        make_file(make_image().quantize(8), transparency=3),
        make_file(make_image(), transparency=tuple(range(3))),
        make_file(make_image().quantize(8)),
        make_file(make_image(), "BMP"),
        make_file(Image.new("RGB", (1, 1))),
    ],
)
def test_what_is_transparent_is_on_white(file):
    assert_as_shown(file)


def test_one_channel():
    image = make_image(4, "RGBA")
    gray = np.asarray(upright_rgb(image).convert("L"))
    read = decode_upright(tf.constant(make_file(image)), 1).numpy()
    np.testing.assert_allclose(read[..., 0].astype(int), gray, atol=1)


@pytest.mark.parametrize(
    "damage",
    [b"Exif\0\0", b"Exif\0\0II*\0" + b"\xff" * 8, exif(6, "<")[:-14]],
)
def test_damaged_exif_data_turn_nothing(damage):
    file = make_file(make_image(), "JPEG", exif=damage)
    read = decode_upright(tf.constant(file), 3).numpy()
    plain = tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE").numpy()
    np.testing.assert_array_equal(read, plain)
