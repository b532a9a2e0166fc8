import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.models.implied_confusion import (
    annotator_models,
    implied_confusion,
)
from keras_noisyfer.models.ltnet import LTNet
from keras_noisyfer.networks import Encoder
from keras_noisyfer.plots import plot_annotator_models
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]
SHAPE = (32, 32, 1)


def make_encoder(tasks):
    return Encoder(tasks, SHAPE, width=1 / 16, noise_code_size=5, dropout=0.0)


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    encoder = make_encoder(TASKS)
    heads = encoder.get_layer("label_streams")
    # Far from uniform, and different for the two annotators.
    heads.bias.assign([2.0, 0.0, -1.0, 0.0, 1.0, 0.5, 0.0, 0.0])
    return encoder


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (10, *SHAPE)).astype("float32")


# === Matrices ===


def test_transition_matrices_are_those_of_ltnet():
    encoder = make_encoder([task.with_annotators(1) for task in TASKS])
    model = LTNet(encoder, TASKS)
    matrices = np.full((2, 3, 3), 0.25) + 0.25 * np.eye(3)
    model.transitions["expression"].assign(matrices)
    read = annotator_models(model, None)
    assert list(read) == ["expression"]
    np.testing.assert_array_equal(read["expression"], matrices)
    with pytest.raises(ValueError, match="a label stream for each annotator"):
        implied_confusion(model, np.zeros((2, *SHAPE), "float32"))


def test_batches_with_labels_and_indices_will_do(encoder, images):
    model = MultiTaskModel(encoder)
    expected = annotator_models(model, images)["expression"]
    inputs = {"image": images, "index": np.arange(len(images))}
    for parts in (inputs, (inputs, {"expression": np.zeros(len(images))})):
        batches = tf.data.Dataset.from_tensor_slices(parts).batch(4)
        found = annotator_models(model, batches)["expression"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("consensus", ["mean", "first"])
def test_implied_confusion_by_hand(encoder, images, consensus):
    model = MultiTaskModel(encoder, consensus=consensus)
    logits = np.array(encoder(images)["labels"]["expression"], "float64")
    streams = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    truth = streams[:, 0] if consensus == "first" else streams.mean(axis=1)
    expected = np.zeros((2, 3, 3))
    for annotator in range(2):
        for i in range(3):
            for j in range(3):
                said = (truth[:, i] * streams[:, annotator, j]).sum()
                expected[annotator, i, j] = said / truth[:, i].sum()
    confusion = annotator_models(model, images)
    assert list(confusion) == ["expression"]
    np.testing.assert_allclose(confusion["expression"], expected, rtol=1e-4)
    # The labels of a data set, and how it is batched, do not matter.
    labels = {"expression": np.zeros((10, 2), "int32")}
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    np.testing.assert_allclose(
        implied_confusion(model, data)["expression"], expected, rtol=1e-4
    )


def test_implied_confusion_of_another_model(encoder, images):
    with pytest.raises(ValueError, match="`model` must be a MultiTaskModel"):
        implied_confusion(encoder, images)


def test_implied_confusion_of_wrong_images(encoder, images):
    model = MultiTaskModel(encoder)
    for wrong, message in (
        (np.zeros(images.shape, "uint8"), "floating point in .-1, 1"),
        (100 * images, r"in \[-1, 1\]. Received: absolute values"),
        (images[:0], "`images` must hold at least one image"),
    ):
        with pytest.raises(ValueError, match=message):
            implied_confusion(model, wrong)
    data = tf.data.Dataset.from_tensor_slices(100 * images).batch(4)
    with pytest.raises(ValueError, match="Received: absolute values up to"):
        implied_confusion(model, data)


# === Figure ===


def test_figure_shows_both_matrices_in_percent(tmp_path):
    injected = np.array([[[0.7, 0.3], [0.2, 0.8]], [[1.0, 0.0], [0.5, 0.5]]])
    learned = np.array([[[0.6, 0.4], [0.2, 0.8]], [[1.0, 0.0], [0.4, 0.6]]])
    figure = plot_annotator_models(learned, injected, ("sad", "happy"))
    assert len(figure.axes) == 4
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["annotator 0", "annotator 1"] * 2
    for panel, matrix in zip(figure.axes, (*injected, *learned), strict=True):
        np.testing.assert_allclose(panel.images[0].get_array(), 100 * matrix)
        assert panel.images[0].get_clim() == (0, 100)
    texts = [text.get_text() for text in figure.axes[2].texts]
    assert texts == ["60", "40", "20", "80"]
    # Four of the eight entries are 10 percentage points off.
    assert figure.get_suptitle().endswith("mean absolute difference 5.0")
    figure.savefig(tmp_path / "annotators.png")


def test_figure_refuses_what_does_not_fit():
    matrices = np.full((2, 3, 3), 1 / 3)
    with pytest.raises(ValueError, match="`learned` must have shape .* with 2"):
        plot_annotator_models(matrices, matrices, ("a", "b"))
    with pytest.raises(ValueError, match="`injected` must have the shape of"):
        plot_annotator_models(matrices, matrices[:1], ("a", "b", "c"))
