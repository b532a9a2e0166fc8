import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.datasets import augmentation
from keras_noisyfer.datasets.augmentation import crop_and_flip, face_affine


def scaled_images(count, size=8):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (count, size, size, 3), "uint8")
    return images.astype("float32") / np.float32(127.5) - np.float32(1)


def shifted(image, x, y, mirror):
    """Pixel (row, column) of the result is (row + y, column + x) of the
    image, mirrored first if asked for, and black outside."""
    height, width = image.shape[:2]
    if mirror:
        image, x = image[:, ::-1], -x
    padded = np.full((3 * height, 3 * width, image.shape[2]), -1, "float32")
    padded[height : 2 * height, width : 2 * width] = image
    return padded[height + y : 2 * height + y, width + x : 2 * width + x]


@pytest.mark.parametrize("shape", [(8, 8, 3), (6, 9, 1)])
def test_crop_and_flip_only_moves_and_mirrors(shape):
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    moves = list(itertools.product((-2, -1, 0, 1, 2), repeat=2))
    expected = {
        shifted(image, x, y, mirror).tobytes(): (x, y, mirror)
        for x, y in moves
        for mirror in (False, True)
    }
    assert len(expected) == 50
    images = np.repeat(image[None], 2000, axis=0)
    results = crop_and_flip(images, (3, 4), padding=2).numpy()
    assert results.shape == images.shape
    # A KeyError is a result that is none of these.
    seen = [expected[result.tobytes()] for result in results]
    counts = [seen.count(each) for each in expected.values()]
    # 40 of each expected, with a standard deviation of 6.3.
    assert min(counts) > 12 and max(counts) < 68


def test_crop_and_flip_mirrors_half_of_the_images():
    images = scaled_images(1000)
    results = crop_and_flip(images, (0, 0), padding=0).numpy()
    mirrored = (results == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (results == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 0.45 < mirrored.mean() < 0.55


@pytest.mark.parametrize("augmentation", [crop_and_flip, face_affine])
def test_augmentation_depends_on_its_seed_alone(augmentation):
    images = scaled_images(20)
    result = augmentation(images, (1, 2)).numpy()
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(result, augmentation(images, (1, 2)))
    for seed in ((1, 3), (2, 2)):
        assert (result != augmentation(images, seed).numpy()).any()


@pytest.mark.parametrize("augmentation", [crop_and_flip, face_affine])
def test_augmentation_keeps_the_static_shape(augmentation):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 6, 3))])
    def trace(images):
        result = augmentation(images, (0, 1))
        assert result.shape == images.shape
        return result

    assert trace(np.zeros((2, 8, 6, 3), "float32")).shape == (2, 8, 6, 3)


def affine(images, seed=(0, 0), rotation=0.0, translation=0.0, zoom=(1, 1)):
    return face_affine(images, seed, rotation, translation, zoom).numpy()


@pytest.mark.parametrize("shape", [(8, 8), (7, 10)])
def test_face_affine_that_moves_nothing_mirrors_half_of_the_images(shape):
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (400, *shape, 3)).astype("float32")
    results = affine(images)
    mirrored = (results == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (results == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 0.4 < mirrored.mean() < 0.6


def grid(size):
    return np.mgrid[:size, :size] - (size - 1) / 2


def test_face_affine_turns_about_the_centre():
    y, x = grid(33)
    blob = 2 * np.exp(-(x**2 + y**2) / 50) - 1
    images = np.tile(blob[None, ..., None], (50, 1, 1, 1)).astype("float32")
    results = affine(images, rotation=180.0)
    # What is left is the error of the bilinear interpolation.
    inside = np.hypot(x, y) < 16
    np.testing.assert_allclose(results[:, inside], images[:, inside], atol=0.02)


def centroids(images):
    """Centre of mass (x, y) about the image's centre, of each image."""
    y, x = grid(images.shape[1])
    mass = images[..., 0] + 1
    total = mass.sum(axis=(1, 2))
    return np.stack(
        [(mass * each).sum(axis=(1, 2)) / total for each in (x, y)], axis=-1
    )


def dots(x, y, count=500, size=33):
    """Images of one small bright dot at (x, y) from the centre."""
    rows, columns = grid(size)
    dot = 2 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4) - 1
    return np.tile(dot[None, ..., None], (count, 1, 1, 1)).astype("float32")


def test_face_affine_turns_by_up_to_the_angle_either_way():
    results = centroids(affine(dots(0, -10), rotation=30.0))
    np.testing.assert_allclose(np.hypot(*results.T), 10, atol=0.1)
    angles = np.degrees(np.arctan2(results[:, 0], -results[:, 1]))
    assert 28 < angles.max() < 30.5 and -30.5 < angles.min() < -28
    assert abs(angles.mean()) < 3


def test_face_affine_moves_by_up_to_the_translation_either_way():
    results = centroids(affine(dots(0, 0), translation=0.2))
    largest = 0.2 * 33
    np.testing.assert_allclose(results.max(axis=0), largest, atol=0.3)
    np.testing.assert_allclose(results.min(axis=0), -largest, atol=0.3)


def test_face_affine_magnifies_by_the_zoom():
    results = centroids(affine(dots(0, -8), zoom=(0.5, 1.5)))
    magnification = results[:, 1] / -8
    assert 0.5 < magnification.min() + 0.02 < 0.56
    assert 1.44 < magnification.max() + 0.02 < 1.54


def test_face_affine_leaves_black_where_nothing_is():
    images = np.ones((10, 16, 16, 3), "float32")
    results = affine(images, zoom=(0.5, 0.5))
    np.testing.assert_array_equal(results[:, 5:11, 5:11], 1)
    for edge in (slice(None, 3), slice(-3, None)):
        np.testing.assert_array_equal(results[:, edge], -1)
        np.testing.assert_array_equal(results[:, :, edge], -1)


@pytest.mark.parametrize("shape", [(5, 12, 17, 3), (1, 8, 8, 1)])
def test_bilinear_warp_is_that_of_tensorflow(shape):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, shape).astype("float32")
    rows = rng.uniform(-1.2, 1.2, (shape[0], 6)).astype("float32")
    # Some far outside of the image, some on whole pixels.
    rows[:, [2, 5]] *= 9
    rows[0] = [1, 0, -2, 0, 1, 3]
    expected = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=np.pad(rows, ((0, 0), (0, 2))),
        output_shape=shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=-1.0,
    )
    warped = augmentation._warp_bilinear(tf.constant(images), list(rows.T))
    np.testing.assert_allclose(warped, expected, atol=1e-4)
