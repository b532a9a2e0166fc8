import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_noisyfer import noise
from keras_noisyfer.batches import Batch
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.losses import SparseCategoricalCrossentropy
from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.networks.network import Network
from keras_noisyfer.regularizers import EarlyLearning
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = (
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
)
N = 10
SHAPE = (6, 6, 3)


@keras.saving.register_keras_serializable(package="tests")
class LinearEncoder(Encoder):
    """One Dense layer a task: these tests are not about the encoder."""

    def __init__(self, tasks, image_shape, dtype=None, **kwargs):
        images = keras.Input(image_shape)
        features = layers.Flatten()(images)
        labels = {}
        for task in tasks:
            shape = (task.annotators, task.num_outputs)
            heads = layers.Dense(task.annotators * task.num_outputs)(features)
            labels[task.name] = ops.reshape(heads, (-1, *shape))
        arguments = {"tasks": tuple(tasks), "image_shape": tuple(image_shape)}
        outputs = {"labels": labels}
        Network.__init__(self, images, outputs, arguments, dtype, **kwargs)


def make_encoder(tasks=TASKS, image_shape=SHAPE):
    return LinearEncoder(tasks, image_shape)


def make_model(
    optimizer=None, run_eagerly=True, strength=2.0, momentum=0.7, **kwargs
):
    regularizer = EarlyLearning(N, momentum=momentum, strength=strength)
    model = MultiTaskModel(make_encoder(), regularizers=[regularizer], **kwargs)
    model.compile(
        optimizer or keras.optimizers.Adam(1e-3), run_eagerly=run_eagerly
    )
    return model


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (N, *SHAPE)).astype("float32")
    labels = {
        "expression": rng.integers(0, 3, (N, 2)).astype("int32"),
        "affect": rng.uniform(-1, 1, (N, 1, 2)).astype("float32"),
    }
    labels["expression"][:2, 1] = -1
    labels["affect"][3, 0, 0] = np.nan
    return images, labels


def make_batches(arrays, index=None, batch_size=4):
    images, labels = arrays
    index = np.arange(N, dtype="int32") if index is None else index
    inputs = {"image": images, "index": index}
    data = tf.data.Dataset.from_tensor_slices((inputs, labels))
    return data.batch(batch_size, drop_remainder=True)


def make_regularizer(momentum=0.7):
    """One that is called on outputs made up by hand."""
    regularizer = EarlyLearning(4, momentum=momentum)
    regularizer.build_for([CategoricalTask("expression", 3, annotators=2)])
    return regularizer


@pytest.fixture(scope="module")
def regularizer():
    return make_regularizer()


def compute_term(regularizer, labels, outputs, targets):
    return regularizer.compute_term(Batch(None, labels), outputs, targets)


def as_outputs(probabilities):
    return {"expression": tf.constant(np.log(probabilities), "float32")}


# === Targets and the regulariser, by hand ===


def test_targets_and_regularizer_by_hand():
    model = make_regularizer(momentum=0.75)
    labels = {"expression": tf.constant([[0, 2], [1, -1]])}
    first = np.array(
        [
            [[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]],
            [[0.1, 0.1, 0.8], [0.4, 0.4, 0.2]],
        ]
    )
    targets = model.update_targets(as_outputs(first), tf.constant([3, 1]))
    expected = np.zeros((4, 2, 3))
    expected[[3, 1]] = 0.25 * first
    kept = model.targets["expression"]
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    # <p, t> is a quarter of sum p^2: 0.46, 0.44 and 0.66 where a label is
    # given; the stream of two labels takes their mean.
    value = compute_term(model, labels, as_outputs(first), targets)
    by_hand = (np.log(1 - 0.115) + np.log(1 - 0.165)) / 2 + np.log(1 - 0.11)
    assert float(value) == pytest.approx(by_hand, rel=1e-4)

    second = np.array([[[0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]])
    labels = {"expression": tf.constant([[0, 1]])}
    targets = model.update_targets(as_outputs(second), tf.constant([3]))
    expected[3] = 0.75 * expected[3] + 0.25 * second[0]
    np.testing.assert_allclose(
        expected[3],
        [[0.1625, 0.10625, 0.16875], [0.0625, 0.2375, 0.1375]],
    )
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    # <p, t>: 0.0325 + 0.02125 + 0.10125, and 0.00625 + 0.19 + 0.01375.
    value = compute_term(model, labels, as_outputs(second), targets)
    by_hand = np.log(1 - 0.155) + np.log(1 - 0.21)
    assert float(value) == pytest.approx(by_hand, rel=1e-4)


def test_an_image_twice_in_a_batch_moves_its_target_by_the_mean():
    regularizer = make_regularizer(momentum=0.75)
    rng = np.random.default_rng(0)
    predicted = rng.dirichlet(np.ones(3) * 9, (4, 2))
    index = tf.constant([1, 2, 1, 1])
    targets = regularizer.update_targets(as_outputs(predicted), index)
    expected = np.zeros((4, 2, 3))
    expected[1] = 0.25 * predicted[[0, 2, 3]].mean(axis=0)
    expected[2] = 0.25 * predicted[1]
    kept = regularizer.targets["expression"]
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    # Each sees the average with its own prediction.
    np.testing.assert_allclose(
        targets["expression"], 0.25 * predicted, atol=1e-6
    )


def test_gradient_is_the_one_of_the_paper(regularizer):
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(5, 2, 3)), "float32")
    targets = rng.dirichlet(np.ones(3), (5, 2)).astype("float32")
    labels = {"expression": tf.zeros((5, 2), "int32")}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = compute_term(
            regularizer, labels, {"expression": logits}, {"expression": targets}
        )
    p = tf.nn.softmax(logits).numpy()
    agreement = np.sum(p * targets, axis=-1, keepdims=True)
    # p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k, over the batch of 5.
    expected = p / (1 - agreement) * (agreement - targets) / 5
    np.testing.assert_allclose(
        tape.gradient(value, logits), expected, atol=1e-6
    )


def test_target_takes_the_force_from_a_label_it_disagrees_with(regularizer):
    # The label is class 0; both targets are confident, of it and of class 2.
    labels = {"expression": tf.constant([[0, 0]])}
    logits = tf.constant(
        np.log([[[0.3, 0.1, 0.6], [0.3, 0.1, 0.6]]]), tf.float32
    )
    targets = tf.constant([[[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        outputs = {"expression": logits}
        loss = SparseCategoricalCrossentropy()(labels["expression"], logits)
        total = loss + regularizer.strength * compute_term(
            regularizer, labels, outputs, {"expression": targets}
        )
    # How much a step of descent raises the label's logit.
    agrees, disagrees = -tape.gradient(total, logits)[0, :, 0].numpy()
    plain = -tape.gradient(loss, logits)[0, :, 0].numpy()
    np.testing.assert_allclose(plain, 0.7, rtol=1e-4)
    assert agrees > 0.7
    assert disagrees < 0.0


def test_sure_and_wrong_stays_finite(regularizer):
    logits = tf.constant([[[200.0, 0.0, 0.0], [0.0, 0.0, -200.0]]])
    labels = {"expression": tf.constant([[0, 0]])}
    targets = {"expression": tf.constant([[[1.0, 0, 0], [0.0, 1.0, 0.0]]])}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = compute_term(
            regularizer, labels, {"expression": logits}, targets
        )
    assert np.isfinite(value) and value >= 2 * np.log(1e-4)
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_missing_labels_have_no_part(regularizer):
    labels = {"expression": tf.constant([[0, -1], [1, -1]])}
    logits = tf.random.normal((2, 2, 3), seed=1)
    targets = {"expression": tf.fill((2, 2, 3), 0.2)}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = compute_term(
            regularizer, labels, {"expression": logits}, targets
        )
    slope = tape.gradient(value, logits).numpy()
    assert np.all(slope[:, 1] == 0.0) and np.isfinite(slope).all()
    alone = -tf.math.log(1 - 0.2)
    assert float(value) == pytest.approx(-float(alone), rel=1e-5)


# === The step ===


def test_loss_fits_the_formula(arrays):
    model = make_model(keras.optimizers.SGD(0.0), gamma=3.0)
    batch = next(iter(make_batches(arrays)))
    outputs = model.encoder(batch[0]["image"], training=True)["labels"]
    logs = {k: float(v) for k, v in model.train_step(batch).items()}
    # Targets begin at 0, so the first are 0.3 p.
    p = tf.nn.softmax(outputs["expression"]).numpy()
    np.testing.assert_allclose(
        model.regularizers[0].targets["expression"][:4], 0.3 * p, atol=1e-5
    )
    assert not np.any(model.regularizers[0].targets["expression"][4:])
    terms = np.log(1 - 0.3 * np.sum(p**2, axis=-1))
    # The second stream's first two labels are missing.
    by_hand = terms[:, 0].mean() + terms[2:, 1].mean()
    assert logs["early_learning"] == pytest.approx(by_hand, rel=1e-3)
    assert logs["loss"] == pytest.approx(
        logs["expression_loss"]
        + 3.0 * logs["affect_loss"]
        + 2.0 * logs["early_learning"],
        rel=1e-5,
    )


def test_without_strength_it_is_the_plain_classifier(arrays):
    def weights(model, data):
        model.fit(data, verbose=0)
        return model.encoder.get_weights()

    keras.utils.set_random_seed(3)
    batches = make_batches(arrays)
    regularized = weights(make_model(strength=0.0), batches)
    keras.utils.set_random_seed(3)
    plain = MultiTaskModel(make_encoder())
    plain.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    plain = weights(plain, batches.map(lambda x, y: (x["image"], y)))
    for first, second in zip(regularized, plain, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_each_image_has_its_own_target_whatever_the_order(arrays):
    """A shuffled, traced epoch leaves what an ordered, eager one does."""
    images, labels = arrays
    data = LabelledImages(ImageArray(images), labels, TASKS)
    left = []
    for batches, run_eagerly in (
        (make_batches(arrays, batch_size=5), True),
        (data.batches(None, 5, training=True, with_index=True), False),
    ):
        keras.utils.set_random_seed(3)
        model = make_model(keras.optimizers.SGD(0.0), run_eagerly=run_eagerly)
        model.fit(batches, epochs=2, verbose=0)
        left.append(np.array(model.regularizers[0].targets["expression"]))
    assert left[0].any(axis=-1).all()
    np.testing.assert_allclose(*left, atol=1e-5)


def test_evaluates_without_an_index(arrays):
    images, labels = arrays
    model = make_model()
    history = model.fit(
        make_batches(arrays),
        # With the indices that `with_index=True` gives, or without.
        validation_data=make_batches(arrays),
        verbose=0,
    ).history
    assert "val_early_learning" not in history
    assert history["val_loss"][0] == pytest.approx(
        history["val_expression_loss"][0] + history["val_affect_loss"][0],
        rel=1e-5,
    )
    plain = make_batches(arrays).map(lambda x, y: (x["image"], y))
    assert model.evaluate(plain, return_dict=True, verbose=0)[
        "loss"
    ] == pytest.approx(history["val_loss"][0], rel=1e-5)
    predictions = model.predict(images, verbose=0)
    assert predictions["expression"].shape == (N, 3)
    assert predictions["affect"].shape == (N, 2)


# === Bad input ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "`num_images` must be at least 1, an integer"),
        ({"momentum": 1.0}, "`momentum` must be .* below 1, .* Received: 1.0"),
        ({"momentum": -0.1}, "`momentum` must be at least 0"),
        ({"strength": -1}, "`strength` must be at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyLearning(**{"num_images": 4, **arguments})


def test_continuous_tasks_alone_have_nothing_to_regularise():
    with pytest.raises(ValueError, match="needs a categorical task"):
        MultiTaskModel(make_encoder(TASKS[1:]), regularizers=[EarlyLearning(4)])


def test_batches_need_an_index(arrays):
    model = make_model()
    with pytest.raises(ValueError) as caught:
        images, labels = arrays
        model.fit(images, labels, batch_size=5, verbose=0)
    assert str(caught.value) == (
        "A training batch must have the index of each image, ({'image': "
        "..., 'index': ...}, labels); make the data set "
        "with `with_index=True`. Received: images without"
    )
    with pytest.raises(ValueError, match="'index' must be integers"):
        model.fit(make_batches(arrays, np.ones(N, "float32")), verbose=0)


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("wrong", [N, -1])
def test_index_out_of_range(arrays, wrong):
    # Traced, where a look-up of its own would fail or be silent.
    model = make_model(run_eagerly=wrong < 0)
    index = np.arange(N, dtype="int32")
    index[2] = wrong
    with pytest.raises(ValueError) as caught:
        model.fit(make_batches(arrays, index), verbose=0)
    assert str(caught.value) == (
        "`index` of a batch must be from 0 to 9, below `num_images`. "
        f"Received: {wrong}"
    )


# === What it is for ===


@pytest.mark.slow
@pytest.mark.smoke
def test_memorises_fewer_wrong_labels_than_the_plain_classifier():
    count, shape, task = 160, (16, 16, 1), CategoricalTask("pattern", 4)
    rng = np.random.default_rng(0)
    truth = np.arange(count, dtype="int32") % 4
    images = rng.normal(0.0, 0.1, (4, *shape))[truth]
    images = images + rng.normal(0.0, 0.3, images.shape)
    images = np.clip(images, -1, 1).astype("float32")
    labels = noise.flip_labels(truth, 4, 0.4, seed=0)
    wrong = labels != truth

    def train(**kwargs):
        keras.utils.set_random_seed(0)
        model = MultiTaskModel(make_encoder([task], shape), **kwargs)
        model.compile(keras.optimizers.SGD(0.03))
        inputs = {"image": images, "index": np.arange(count, dtype="int32")}
        parts = (inputs, {"pattern": labels})
        data = tf.data.Dataset.from_tensor_slices(parts).batch(16).cache()
        model.fit(data, epochs=60, verbose=0)
        predictions = np.argmax(model(images)["pattern"], axis=1)
        memorised = np.mean(predictions[wrong] == labels[wrong])
        return memorised, np.mean(predictions == truth)

    memorised, accuracy = train()
    assert memorised > 0.8 and accuracy < 0.75
    memorised, accuracy = train(regularizers=[EarlyLearning(count)])
    assert memorised < 0.3 and accuracy > 0.85
