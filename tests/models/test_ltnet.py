import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer import noise
from keras_noisyfer.batches import Batch
from keras_noisyfer.datasets.arrays import make_dataset
from keras_noisyfer.datasets.synthetic_faces import draw_faces
from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.models.ltnet import LTNet, RowsOnSimplex
from keras_noisyfer.networks import Encoder
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.serving.export import export
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = (
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal"), annotators=2),
)
SHAPE = (32, 32, 1)


def make_encoder(tasks=TASKS, **kwargs):
    kwargs = {"width": 1 / 16, "noise_code_size": 5, **kwargs}
    tasks = [task.with_annotators(1) for task in tasks]
    return Encoder(tasks, SHAPE, dropout=0.0, **kwargs)


def make_model(run_eagerly=True, **kwargs):
    model = LTNet(make_encoder(), TASKS, **kwargs)
    model.compile(FusedAdam(1e-2), run_eagerly=run_eagerly)
    return model


def make_data(count=8):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, *SHAPE)).astype("float32")
    affect = rng.uniform(-1, 1, (count, 2, 2)).astype("float32")
    affect[0] = np.nan
    return images, {
        "expression": rng.integers(-1, 3, (count, 2)).astype("int32"),
        "affect": affect,
    }


def make_batches(count=8):
    return tf.data.Dataset.from_tensor_slices(make_data(count)).batch(4)


def set_matrices(model):
    matrices = np.array(
        [
            [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]],
            [[0.5, 0.5, 0.0], [0.1, 0.8, 0.1], [0.0, 0.25, 0.75]],
        ],
        "float32",
    )
    model.transitions["expression"].assign(matrices)
    return matrices


# === Matrices ===


def test_rows_stay_on_the_simplex():
    constrained = RowsOnSimplex()(
        tf.constant([[[3.0, 1.0], [-1.0, 0.5]], [[0.2, 0.8], [-1.0, 0.0]]])
    )
    np.testing.assert_allclose(
        constrained, [[[0.75, 0.25], [0, 1]], [[0.2, 0.8], [0.5, 0.5]]]
    )


def test_annotators_see_the_truth_through_their_matrices():
    model = make_model(warmup_epochs=0)
    matrices = set_matrices(model)
    truth = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], "float32")
    values = np.array([[0.1, -0.2], [0.3, 0.4]], "float32")
    raw = model.predict_annotators(
        {
            "expression": np.log(np.maximum(truth, 1e-30))[:, None],
            "affect": values[:, None],
        }
    )
    expected = np.stack([truth @ each for each in matrices], axis=1)
    np.testing.assert_allclose(np.exp(raw["expression"]), expected, atol=1e-6)
    for annotator in range(2):
        np.testing.assert_array_equal(raw["affect"][:, annotator], values)

    labels = {
        "expression": np.array([[1, 0], [-1, 0]], "int32"),
        "affect": np.full((2, 2, 2), np.nan, "float32"),
    }
    losses = model.compute_task_losses(labels, raw)
    # Annotator 0 labelled the first image alone.
    by_hand = -np.log(expected[0, 0, 1]) - np.mean(np.log(expected[:, 1, 0]))
    assert float(losses["expression"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(losses["affect"]) == 0.0


def test_true_matrices_have_no_gradient():
    """Where the labels are as the matrices say, nothing moves them."""
    model = make_model(warmup_epochs=0)
    matrices = set_matrices(model)
    counts = np.rint(20 * matrices).astype(int)
    labels = np.array(
        [
            np.concatenate([np.repeat(np.arange(3), row) for row in annotator])
            for annotator in counts
        ]
    ).T
    truth = np.repeat(np.arange(3), 20)
    outputs = {
        "expression": 100 * np.eye(3, dtype="float32")[truth][:, None],
        "affect": np.zeros((60, 1, 2), "float32"),
    }
    variable = model.transitions["expression"]
    with tf.GradientTape() as tape:
        raw = model.predict_annotators(outputs)["expression"]
        loss = model.loss_by_task["expression"](labels, raw)
    gradient = np.array(tape.gradient(loss, variable.value))
    np.testing.assert_allclose(gradient[matrices > 0], 0.0, atol=1e-5)
    assert gradient[matrices == 0].min() > 0.1


def test_penalty_is_the_weighted_mean_diagonal():
    model = make_model(warmup_epochs=1, trace_weight=0.5)
    set_matrices(model)
    variable = model.transitions["expression"]

    def penalty():
        with tf.GradientTape() as tape:
            value = model.compute_penalty()
        return float(value), tape.gradient(value, variable.value)

    value, gradient = penalty()
    assert value == pytest.approx(0.5 * (0.7 + 2.05 / 3), rel=1e-5)
    assert not np.array(gradient).any()
    model.completed_epochs.assign(1)
    _, gradient = penalty()
    diagonal = np.diagonal(np.array(gradient), axis1=1, axis2=2)
    # But for what would only lengthen the row, 1 / 6 of its part below 1.
    expected = np.array([[0.3, 0.0, 0.6], [0.5, 0.2, 0.25]]) / 6
    np.testing.assert_allclose(diagonal, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.smoke
def test_matrices_are_recovered():
    """Three plain shades of grey and three careless annotators."""
    pytest.importorskip("krippendorff")
    injected = np.array(
        [
            [[0.7, 0.3, 0.0], [0.1, 0.6, 0.3], [0.0, 0.2, 0.8]],
            [[0.6, 0.2, 0.2], [0.4, 0.6, 0.0], [0.1, 0.0, 0.9]],
            [[1.0, 0.0, 0.0], [0.0, 0.7, 0.3], [0.2, 0.2, 0.6]],
        ]
    )
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 300)
    images = (truth - 1.0)[:, None, None, None] * 0.6
    images = images + rng.uniform(-0.02, 0.02, (len(truth), *SHAPE))
    labels = np.stack(
        [
            [rng.choice(3, p=matrix[each]) for each in truth]
            for matrix in injected
        ],
        axis=1,
    ).astype("int32")
    tasks = [CategoricalTask("object", 3, annotators=3)]
    model = LTNet(
        make_encoder(tasks, batch_normalization=True), tasks, warmup_epochs=2
    )
    model.compile(
        FusedAdam(keras.optimizers.schedules.CosineDecay(1e-2, 15 * 15))
    )
    model.fit(
        make_dataset(
            images.astype("float32"), {"object": labels}, tasks, 60, True
        ),
        epochs=15,
        verbose=0,
    )
    learned = model.transition_matrices["object"]
    realised = noise.realised_confusion(labels, truth, 3)
    assert np.abs(learned - realised).max() < 0.05
    np.testing.assert_allclose(learned.sum(axis=-1), 1.0, rtol=1e-5)
    assert learned.min() >= 0.0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_flips_are_recovered_on_faces():
    """30 % of the labels, wrong in all ways alike. The likelihood alone does
    not tell them from faces that are hard to read; the trace does."""
    pytest.importorskip("krippendorff")
    faces = draw_faces(8000, seed=0, image_size=32)
    clean = faces["expression"]
    labels = np.stack(
        [noise.flip_labels(clean, 7, 0.3, seed=seed) for seed in range(3)],
        axis=1,
    )
    tasks = [CategoricalTask("expression", 7, annotators=3)]
    encoder = Encoder(
        [task.with_annotators(1) for task in tasks],
        (32, 32, 3),
        width=0.125,
        batch_normalization=True,
        dropout=0.0,
    )
    model = LTNet(encoder, tasks, warmup_epochs=2, trace_weight=0.1)
    data = make_dataset(
        faces["image"], {"expression": labels}, tasks, 64, training=True
    )
    epochs = 7
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-3, epochs * len(data), alpha=0.02
    )
    model.compile(FusedAdam(schedule))
    model.fit(data, epochs=epochs, verbose=0)
    learned = model.transition_matrices["expression"]
    realised = noise.realised_confusion(labels, clean, 7)
    assert np.abs(learned - realised).max() < 0.05


# === Warm-up ===


def test_matrices_wait_for_the_end_of_the_warmup():
    model = make_model(run_eagerly=False, warmup_epochs=2)
    model.fit(make_batches(), epochs=2, verbose=0)
    matrices = model.transition_matrices["expression"]
    np.testing.assert_array_equal(matrices, [np.eye(3)] * 2)
    # The same traced step, which is not fixed to the warm-up.
    model.fit(make_batches(), epochs=1, verbose=0)
    moved = model.transition_matrices["expression"]
    assert np.abs(moved - matrices).max(axis=(1, 2)).min() > 0.01
    np.testing.assert_allclose(moved.sum(axis=-1), 1.0, rtol=1e-6)


def test_warmup_equals_plain_training_of_one_head():
    """On images that are there once for each annotator's label."""
    images, labels = make_data()
    keras.utils.set_random_seed(5)
    model = make_model(warmup_epochs=1)
    keras.utils.set_random_seed(5)
    plain = MultiTaskModel(make_encoder())
    with tf.GradientTape() as tape:
        outputs = plain.encoder(images.repeat(2, axis=0), training=True)
        single = {n: e.reshape(-1, 1, *e.shape[2:]) for n, e in labels.items()}
        loss = 2 * plain.weigh_task_losses(
            plain.compute_task_losses(single, outputs["labels"])
        )
    variables = [each.value for each in plain.encoder.trainable_variables]
    expected = tape.gradient(loss, variables, unconnected_gradients="zero")

    with tf.GradientTape() as tape:
        (actual,) = model.training_losses(Batch(images, labels))
    assert float(actual) == pytest.approx(float(loss), rel=1e-5)
    *gradients, of_matrices = tape.gradient(
        actual,
        [each.value for each in model.trained_variables],
        unconnected_gradients="zero",
    )
    assert not np.array(of_matrices).any()
    for first, second in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


# === Prediction and evaluation ===


def test_prediction_and_evaluation_read_the_truth():
    model = make_model(warmup_epochs=0)
    set_matrices(model)
    images, labels = make_data()
    raw = model.encoder(images)["labels"]
    predictions = model.predict(images, verbose=0)
    np.testing.assert_allclose(
        predictions["expression"],
        tf.nn.softmax(raw["expression"][:, 0]),
        atol=1e-6,
    )
    clean = {
        "expression": np.arange(8, dtype="int32") % 3,
        "affect": np.zeros((8, 2), "float32"),
    }
    data = tf.data.Dataset.from_tensor_slices((images, clean)).batch(4)
    results = model.evaluate(data, return_dict=True, verbose=0)
    probability = predictions["expression"][np.arange(8), clean["expression"]]
    assert results["expression_loss"] == pytest.approx(
        -np.log(probability).mean(), rel=1e-4
    )
    noisy = model.evaluate(make_batches(), return_dict=True, verbose=0)
    said = predictions["expression"].argmax(axis=-1)[:, None]
    given = labels["expression"] >= 0
    assert noisy["expression_accuracy"] == pytest.approx(
        np.mean((said == labels["expression"])[given])
    )


def test_missing_labels_take_no_part():
    model = make_model(warmup_epochs=0)
    images, labels = make_data()
    labels["expression"][:, 1] = -1
    model.fit(
        tf.data.Dataset.from_tensor_slices((images, labels)).batch(4),
        verbose=0,
    )
    first, second = model.transition_matrices["expression"]
    assert not np.array_equal(first, np.eye(3))
    np.testing.assert_array_equal(second, np.eye(3))


@pytest.mark.slow
@pytest.mark.smoke
def test_export_serves_the_truth(tmp_path):
    model = make_model()
    export(model, tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    images = np.full((2, *SHAPE), 255, "uint8")
    np.testing.assert_allclose(
        served(image=tf.constant(images))["expression"],
        model.predict(np.ones((2, *SHAPE), "float32"), verbose=0)["expression"],
        atol=1e-6,
    )


# === Saving and arguments ===


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"warmup_epochs": -1}, "`warmup_epochs` must be at least 0"),
        ({"warmup_epochs": 1.5}, "`warmup_epochs` must be at least 0, an int"),
        ({"trace_weight": -1.0}, "`trace_weight` must be at least 0"),
        ({"gamma": -1.0}, "`gamma` must be at least 0"),
        ({"tasks": TASKS[:1]}, "`encoder` must have the tasks of `tasks`"),
        ({"tasks": []}, "`tasks` must be one or more tasks"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LTNet(make_encoder(), **{"tasks": TASKS, **arguments})


def test_encoder_with_a_stream_an_annotator_is_refused():
    encoder = Encoder(TASKS, SHAPE, width=1 / 16)
    with pytest.raises(ValueError, match="with one annotator each") as error:
        LTNet(encoder, TASKS)
    assert "\n" not in str(error.value)
