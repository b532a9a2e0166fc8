import keras
import numpy as np
import pytest

from keras_noisyfer.datasets.labelled_images import make_dataset
from keras_noisyfer.evaluation.experiment import (
    make_model,
    method_labels,
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


def test_labels_of_the_methods():
    for method in ("vggnet", "proposed"):
        tasks, labels = method_labels(method, TASKS, NOISY, None)
        assert tasks == TASKS and labels is NOISY
    tasks, labels = method_labels("majority-vote", TASKS, NOISY, None)
    assert [task.annotators for task in tasks] == [1, 1]
    np.testing.assert_array_equal(labels["expression"], [[0], [1], [2], [0]])
    np.testing.assert_allclose(
        labels["affect"][:2, 0], [[0.3, -0.1], [1.0, 1.0]], atol=1e-6
    )
    _, labels = method_labels("vggnet-clean", TASKS, NOISY, CLEAN)
    np.testing.assert_array_equal(
        labels["expression"][:, 0], CLEAN["expression"]
    )


def test_rejects_methods():
    with pytest.raises(ValueError, match="`method` must be one of.*'gan'"):
        method_labels("gan", TASKS, NOISY, None)
    with pytest.raises(ValueError, match="`clean` must be given"):
        method_labels("vggnet-clean", TASKS, NOISY, None)


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
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 32, 32, 3)).astype("uint8")
    noisy = {
        name: np.tile(each, (2, *[1] * (each.ndim - 1)))
        for name, each in NOISY.items()
    }
    clean = {name: np.concatenate([each] * 2) for name, each in CLEAN.items()}
    test_data = make_dataset(images, clean, TASKS, batch_size=8)

    def losses(seed):
        _, history = train_method(
            "vggnet",
            TASKS,
            images,
            noisy,
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
