import keras
import numpy as np
import pytest

from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.evaluation.experiment import (
    make_model,
    method_data,
    train_method,
)
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("expression", 3, annotators=3),
    ContinuousTask("affect", ("valence", "arousal"), annotators=2),
]
NOISY = {
    "expression": np.array([[0, 0, 1], [2, 1, 1], [-1, 2, 2], [0, 0, 0]]),
    "affect": np.array(
        [[[0.2, 0.0], [0.4, -0.2]], [[np.nan, np.nan], [1.0, 1.0]]] * 2,
        "float32",
    ),
}
CLEAN = {
    "expression": np.array([0, 1, 2, 0]),
    "affect": np.zeros((4, 2), "float32"),
}


def data(repeats=1, clean=CLEAN):
    def repeat(labels):
        return {n: np.concatenate([a] * repeats) for n, a in labels.items()}

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * repeats, 32, 32, 3)).astype("uint8")
    return LabelledImages(
        ImageArray(images), TASKS, repeat(NOISY), repeat(clean)
    )


def test_labels_of_the_methods():
    given = data()
    for method in ("vggnet", "proposed"):
        assert method_data(method, given) is given
    vote = method_data("majority-vote", given)
    assert [task.annotators for task in vote.tasks] == [1, 1]
    np.testing.assert_array_equal(
        vote.labels["expression"], [[0], [1], [2], [0]]
    )
    np.testing.assert_allclose(
        vote.labels["affect"][:2, 0], [[0.3, -0.1], [1.0, 1.0]], atol=1e-6
    )
    clean = method_data("vggnet-clean", given)
    np.testing.assert_array_equal(
        clean.labels["expression"][:, 0], CLEAN["expression"]
    )


def test_rejects_methods():
    with pytest.raises(ValueError, match="`method` must be one of.*'gan'"):
        method_data("gan", data())
    expression = {"expression": CLEAN["expression"]}
    with pytest.raises(ValueError, match="clean labels of every.*affect"):
        method_data("vggnet-clean", data(clean=expression))


def test_methods_start_from_the_same_encoder():
    weights = []
    for method in ("vggnet", "proposed"):
        keras.utils.set_random_seed(4)
        model = make_model(method, TASKS, (32, 32, 3), width=1 / 16)
        weights.append(model.encoder.get_weights())
    assert isinstance(model, JointDistributionGAN)
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_training_repeats_with_the_seed():
    given = data(repeats=2)
    test_data = given.with_labels(given.clean).batches(batch_size=8)

    def losses(seed):
        _, history = train_method(
            "vggnet",
            given,
            test_data,
            epochs=2,
            batch_size=4,
            learning_rate=1e-3,
            decay=True,
            seed=seed,
            width=1 / 16,
            verbose=0,
        )
        return history.history["loss"]

    keras.utils.set_random_seed(99)
    first = losses(1)
    np.testing.assert_allclose(first, losses(1), rtol=1e-4)
    assert abs(first[0] - losses(2)[0]) > 1e-3
