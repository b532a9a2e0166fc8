import numpy as np
import pytest
from keras import ops

from keras_noisyfer.models import CrowdLayer
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = (
    CategoricalTask("expression", 3, annotators=3),
    ContinuousTask("affect", ("valence",), annotators=2),
)
TRUTH = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]], "float32")
OUTPUTS = {
    "expression": np.log(np.maximum(TRUTH, 1e-30))[:, None],
    "affect": np.array([[[0.5]], [[-0.2]]], "float32"),
}
LABELS = {
    # The second annotator has given no label, the third one.
    "expression": np.array([[1, -1, 0], [2, -1, -1]], "int32"),
    "affect": np.array([[[0.1], [np.nan]], [[-0.3], [0.4]]], "float32"),
}


@pytest.fixture
def model():
    single = [task.with_annotators(1) for task in TASKS]
    encoder = Encoder(single, (32, 32, 1), width=1 / 16, noise_code_size=5)
    model = CrowdLayer(encoder, TASKS)
    model.compile(loss={"affect": "mse"}, run_eagerly=True)
    return model


def softmax(values):
    values = np.exp(values)
    return values / values.sum(axis=-1, keepdims=True)


def test_begins_at_the_truth_and_learns_what_annotators_make_of_it(model):
    raw = model.predict_annotators(OUTPUTS)
    for annotator in range(3):
        np.testing.assert_allclose(
            raw["expression"][:, annotator], TRUTH, atol=1e-6
        )
    np.testing.assert_allclose(
        raw["affect"], OUTPUTS["affect"].repeat(2, axis=1)
    )
    matrices = np.random.default_rng(0).normal(size=(3, 3, 3)).astype("float32")
    model.matrices["expression"].assign(matrices)
    model.scales["affect"].assign([[2.0], [1.0]])
    model.biases["affect"].assign([[0.0], [0.1]])
    raw = model.predict_annotators(OUTPUTS)
    np.testing.assert_allclose(
        raw["expression"],
        np.stack([TRUTH @ each for each in matrices], axis=1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        raw["affect"][..., 0], [[1.0, 0.6], [-0.4, -0.1]], atol=1e-6
    )
    np.testing.assert_allclose(
        model.transition_matrices["expression"], softmax(matrices), rtol=1e-5
    )


def test_annotators_may_have_a_value_each_of_a_batch():
    """Two values in all make a concordance, whoever gave them."""
    tasks = [ContinuousTask("affect", ("valence",), annotators=4)]
    single = [task.with_annotators(1) for task in tasks]
    encoder = Encoder(single, (32, 32, 1), width=1 / 16, noise_code_size=5)
    model = CrowdLayer(encoder, tasks)
    model.compile(run_eagerly=True)
    values = np.full((4, 4, 1), np.nan, "float32")
    values[range(4), range(4), 0] = [-0.5, 0.1, 0.3, 0.9]
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 1))
    data = images.astype("float32"), {"affect": values}
    logs = model.fit(*data, verbose=0).history
    assert logs["affect_loss"] == pytest.approx(logs["loss"])


def test_each_label_counts_as_much_as_any_other(model):
    """Whoever gave it: the mean over three labels, times three annotators."""
    labels = {
        name: ops.convert_to_tensor(each) for name, each in LABELS.items()
    }
    weights = {task.name: np.array([1.0, 2.0], "float32") for task in TASKS}
    _, plain = model.compute_objective(labels, OUTPUTS)
    _, weighed = model.compute_objective(labels, OUTPUTS, weights)
    first, second = softmax(TRUTH)
    own = -np.log([first[1], first[0], second[2]])
    assert float(plain["expression"]) == pytest.approx(3 * own.mean(), rel=1e-5)
    assert float(weighed["expression"]) == pytest.approx(
        3 * np.average(own, weights=[1, 1, 2]), rel=1e-5
    )
    squares = np.square([0.4, 0.1, 0.6])
    assert float(plain["affect"]) == pytest.approx(2 * squares.mean(), rel=1e-4)


def test_annotators_who_were_silent_keep_the_truth(model):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    model.fit(images, LABELS, batch_size=2, epochs=2, verbose=0)
    matrices = np.array(model.matrices["expression"].value)
    np.testing.assert_array_equal(matrices[1], np.eye(3))
    assert np.abs(matrices[0] - np.eye(3)).max() > 0
    assert np.abs(matrices[2] - np.eye(3)).max() > 0
    predictions = model.predict(images, verbose=0)
    outputs = model.encoder(images)["labels"]["expression"][:, 0]
    np.testing.assert_allclose(
        predictions["expression"], softmax(np.array(outputs)), rtol=1e-4
    )
