import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.datasets.arrays import make_dataset
from keras_noisyfer.datasets.synthetic_faces import draw_faces
from keras_noisyfer.models.co_teaching import CoTeaching
from keras_noisyfer.networks import Encoder
from keras_noisyfer.noise import flip_labels
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.serving.export import export
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CATEGORICAL = (CategoricalTask("object", 4, annotators=2),)
MIXED = (
    CategoricalTask("expression", 4, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
)


def make_encoder(tasks, **kwargs):
    arguments = {
        "image_shape": (32, 32, 3),
        "width": 1 / 16,
        "noise_code_size": 5,
        "dropout": 0.0,
    }
    return Encoder(tasks, **{**arguments, **kwargs})


def make_batch(tasks, count):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    labels = {}
    for task in tasks:
        shape = (count, task.annotators)
        if isinstance(task, CategoricalTask):
            given = rng.integers(0, task.num_classes, shape).astype("int32")
        else:
            given = rng.uniform(-1, 1, (*shape, task.num_outputs)).astype(
                "float32"
            )
        labels[task.name] = given
    return images, labels


def record_picks(model):
    """A list that each step adds the two networks' picks to."""
    picks = []
    pick_images = model.pick_images

    def record(picked):
        picks.append(picked)
        return picked

    def spy(*arguments):
        picked = pick_images(*arguments)
        recorded = tf.numpy_function(record, [picked], tf.bool)
        return tf.ensure_shape(recorded, picked.shape)

    model.pick_images = spy
    return picks


def values(variables):
    return [keras.ops.convert_to_numpy(each.value) for each in variables]


# === The particular thing: cleaner than chance ===


@pytest.fixture(scope="module")
def trained():
    """Co-teaching on faces of which three annotators mistake 40 %.

    Returns the picks of both networks, boolean, `(epochs, 2, images)`, and
    the fraction of right labels of each image.
    """
    keras.utils.set_random_seed(0)
    faces = draw_faces(1700, seed=0, image_size=32)
    expressions = [1, 3, 6]  # happy, surprise, anger
    chosen = np.isin(faces["expression"], expressions)
    chosen = np.flatnonzero(chosen & (faces["intensity"] > 0.6))[:400]
    truth = np.searchsorted(expressions, faces["expression"][chosen])
    labels = [flip_labels(truth, 3, 0.4, seed=seed) for seed in range(3)]
    labels = np.stack(labels, axis=1)

    tasks = [CategoricalTask("expression", 3, annotators=3)]
    model = CoTeaching(
        make_encoder(tasks, batch_normalization=True),
        forget_rate=0.4,
        forget_epochs=4,
    )
    model.compile(FusedAdam(2e-3))
    picks = record_picks(model)
    # In the same order each epoch, so that picks can be told apart.
    data = make_dataset(
        faces["image"][chosen], {"expression": labels}, tasks, batch_size=40
    )
    model.fit(data, epochs=12, verbose=0)
    # Each step adds both networks' picks.
    picks = np.reshape(picks, (12, 10, 2, 40)).swapaxes(1, 2)
    picks = picks.reshape(12, 2, 400)
    return picks, np.mean(labels == truth[:, None], axis=1)


@pytest.mark.slow
@pytest.mark.smoke
def test_picks_cleaner_labels_than_chance(trained):
    picks, right = trained
    for picked in picks[-1]:
        # By chance the two would differ by 0 with a deviation of 0.03.
        assert right[picked].mean() > right[~picked].mean() + 0.1
        assert right[picked].mean() > right.mean() + 0.04


@pytest.mark.slow
@pytest.mark.smoke
def test_keeps_what_the_schedule_says(trained):
    picks, _ = trained
    # Of 40 images a batch 1, 0.9, 0.8, 0.7, 0.6, 0.6, ...
    expected = [40, 36, 32, 28] + 8 * [24]
    for network in (0, 1):
        kept = picks[:, network].reshape(12, 10, 40).sum(axis=-1)
        np.testing.assert_array_equal(kept, np.tile(expected, (10, 1)).T)


# === The step ===


def hand_losses(labels, logits):
    """Cross entropy of each image, the mean of its annotators, in NumPy."""
    logits = np.array(logits, "float64")
    logits -= logits.max(axis=-1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_probability, labels[..., None], axis=-1)
    return -chosen[..., 0].mean(axis=1)


def test_networks_learn_the_mean_over_what_the_other_picked():
    images, labels = make_batch(CATEGORICAL, 8)
    model = CoTeaching(
        make_encoder(CATEGORICAL), forget_rate=0.5, forget_epochs=2
    )
    rate = 0.5
    model.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    model.completed_epochs.assign(2)
    encoders = (model.encoder, model.second_encoder)
    before = [values(each.trainable_variables) for each in encoders]

    losses, gradients = [], []
    outputs = [np.array(each(images)["labels"]["object"]) for each in encoders]
    picks = [
        np.argsort(hand_losses(labels["object"], each))[:4] for each in outputs
    ]
    assert set(picks[0]) != set(picks[1])
    for encoder, picked in zip(encoders, picks[::-1], strict=True):
        with tf.GradientTape() as tape:
            logits = encoder(images[picked], training=True)["labels"]["object"]
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels["object"][picked], logits
                )
            )
            # The losses of the two label streams add up.
            loss *= 2.0
        losses.append(float(loss))
        gradients.append(
            tape.gradient(
                loss,
                [each.value for each in encoder.trainable_variables],
                unconnected_gradients="zero",
            )
        )

    logs = model.train_step((tf.constant(images), labels))
    assert float(logs["loss"]) == pytest.approx(losses[0], rel=1e-5)
    assert float(logs["second_loss"]) == pytest.approx(losses[1], rel=1e-5)
    for encoder, old, gradient in zip(encoders, before, gradients, strict=True):
        new = values(encoder.trainable_variables)
        for variable, a, b, step in zip(
            encoder.trainable_variables, old, new, gradient, strict=True
        ):
            np.testing.assert_allclose(
                b, a - rate * step, atol=1e-6, err_msg=variable.path
            )
        assert any(np.abs(step).max() > 1e-3 for step in gradient)


def test_loss_of_an_image_by_hand():
    model = CoTeaching(make_encoder(MIXED), gamma=2.0)
    labels = {
        "expression": np.array(
            [[0, 1], [2, -1], [-1, -1], [-1, -1], [3, 3]], "int32"
        ),
        "affect": np.array(
            [
                [[0.5, -0.5]],
                [[np.nan, 0.25]],
                [[1.0, 0.0]],
                [[np.nan, np.nan]],
                [[np.nan, np.nan]],
            ],
            "float32",
        ),
    }
    logits = np.zeros((5, 2, 4), "float32")
    # Of four equal logits but one, that one has probability 1 / 2.
    logits[0, 0, 0] = logits[4, :, 0] = np.log(3)
    outputs = {
        "expression": logits,
        "affect": np.array(
            [[[0.0, 0.5]], [[9.0, -0.75]], [[0.0, 0.0]], [[9, 9]], [[9, 9]]],
            "float32",
        ),
    }
    losses = np.array(model.compute_sample_losses(labels, outputs))
    log2 = np.log(2)
    categorical = [1.5 * log2, 2 * log2, None, None, np.log(6)]
    categorical[2] = np.mean([categorical[i] for i in (0, 1, 4)])
    continuous = [(0.25 + 1.0) / 2, 1.0, 0.5, None, None]
    continuous[4] = np.mean(continuous[:3])
    expected = [categorical[i] + 2.0 * continuous[i] for i in (0, 1, 2, 4)]
    np.testing.assert_allclose(losses[[0, 1, 2, 4]], expected, rtol=1e-5)
    assert losses[3] == np.inf


def pick(model, losses):
    """What the model picks where a class has these losses; NaN: no label."""
    losses = np.array(losses)
    labels = np.where(np.isnan(losses), -1, 0).astype("int32")
    # The cross entropy of class 0 against three others of logit 0.
    logits = np.zeros((len(losses), 1, 4), "float32")
    logits[:, 0, 0] = np.log(3 / np.expm1(np.nan_to_num(losses, nan=0.1)))
    picked = model.pick_images({"object": labels[:, None]}, {"object": logits})
    return np.flatnonzero(picked).tolist()


def test_picks_the_smallest_losses():
    tasks = [CategoricalTask("object", 4)]
    model = CoTeaching(make_encoder(tasks), forget_rate=0.5, forget_epochs=2)
    losses = [0.9, 0.2, 3.0, 0.4, 0.8, 0.1]
    assert pick(model, losses) == [0, 1, 2, 3, 4, 5]
    model.completed_epochs.assign(1)
    # 0.75 of six is 4.5: rounded to four.
    assert pick(model, losses) == [1, 3, 4, 5]
    model.completed_epochs.assign(2)
    assert pick(model, losses) == [1, 3, 5]
    # Of four with a label, half; never one without before one with.
    assert pick(model, [0.9, np.nan, 3.0, np.nan, 0.8, 0.1]) == [4, 5]
    model.forget_rate = 0.99
    assert pick(model, losses) == [5]
    assert pick(model, [np.nan, 2.0, np.nan]) == [1]


def test_picks_two_images_for_a_concordance():
    model = CoTeaching(make_encoder(MIXED), forget_rate=0.99, forget_epochs=1)
    model.completed_epochs.assign(1)
    images, labels = make_batch(MIXED, 5)
    picked = model.pick_images(labels, model.encoder(images)["labels"])
    assert int(np.sum(picked)) == 2


def test_labels_that_are_not_kept_are_missing():
    model = CoTeaching(make_encoder(MIXED))
    _, labels = make_batch(MIXED, 3)
    kept = model.keep_labels(labels, np.array([True, False, True]))
    for name, given in labels.items():
        given[1] = -1 if name == "expression" else np.nan
        assert kept[name].dtype == given.dtype
        np.testing.assert_array_equal(kept[name], given)


# === fit, evaluate, predict, save, load ===


@pytest.mark.slow
@pytest.mark.smoke
def test_schedule_goes_on_after_loading(tmp_path):
    images, labels = make_batch(CATEGORICAL, 8)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    model = CoTeaching(
        make_encoder(CATEGORICAL),
        forget_rate=0.5,
        forget_epochs=4,
        consensus="first",
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.optimizers.Adam(2e-3),
        run_eagerly=True,
    )
    picks = record_picks(model)
    model.fit(data, epochs=2, verbose=0)
    # One step an epoch, two picks a step: R(0), R(1).
    assert [each.sum() for each in picks] == [8, 8, 7, 7]

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.second_optimizer.iterations) == 2
    rate = float(loaded.second_optimizer.learning_rate)
    assert rate == pytest.approx(2e-3)
    picks = record_picks(loaded)
    loaded.fit(data, epochs=2, verbose=0)
    assert [each.sum() for each in picks] == [6, 6, 5, 5]


@pytest.mark.slow
@pytest.mark.smoke
def test_mixed_tasks_with_missing_labels(tmp_path):
    images, labels = make_batch(MIXED, 8)
    labels["expression"][[0, 3]] = -1
    labels["affect"][[0, 1], 0, 0] = np.nan
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    model = CoTeaching(make_encoder(MIXED), forget_rate=0.4, forget_epochs=1)
    model.compile(run_eagerly=True)
    before = values(model.second_encoder.trainable_variables)
    history = model.fit(data, epochs=2, verbose=0).history
    assert np.isfinite(history["second_loss"]).all()
    after = values(model.second_encoder.trainable_variables)
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    # All but the heads of the noise code.
    assert moved.count(False) == 4
    results = model.evaluate(data, return_dict=True, verbose=0)
    assert np.isfinite(results["loss"]) and "second_loss" not in results

    # The first network alone predicts, and is what is served.
    expected = model.predict_consensus(model.encoder(images)["labels"])
    predictions = model.predict(images, verbose=0)
    export(model, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1"))
    image = np.round((images + 1) * 127.5).astype("uint8")
    served = served.signatures["serving_default"](image=tf.constant(image))
    for name, each in expected.items():
        np.testing.assert_allclose(predictions[name], each, atol=1e-5)
        np.testing.assert_allclose(served[name], each, atol=0.02)


# === Arguments ===


def test_second_encoder():
    encoder = make_encoder(CATEGORICAL, name="face")
    second = CoTeaching(encoder).second_encoder
    assert second.name == "second_face"
    assert second.get_config() == encoder.get_config() | {"name": second.name}
    kernels = [
        keras.ops.convert_to_numpy(each.get_layer("label_streams").kernel)
        for each in (encoder, second)
    ]
    assert np.abs(kernels[0] - kernels[1]).min() > 0

    rescaling = keras.layers.Normalization(axis=None)
    rescaling.adapt(np.array([0.2, 0.6]))
    layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 3)]
    backbone = keras.Sequential(layers)
    adapted = Encoder(
        CATEGORICAL, (32, 32, 3), backbone=backbone, preprocessing=rescaling
    )
    second = CoTeaching(adapted).second_encoder
    assert second.preprocessing is not rescaling
    np.testing.assert_allclose(second.preprocessing(np.ones(1)), [3.0])

    other = make_encoder(CATEGORICAL, width=1 / 8)
    assert CoTeaching(encoder, other).second_encoder is other


class Unknown(keras.layers.Layer):
    """One that Keras was not told of."""

    def call(self, inputs):
        return inputs


def test_rejects_arguments():
    encoder = make_encoder(CATEGORICAL)

    def fails(message, *args, **kwargs):
        with pytest.raises(ValueError, match=message) as error:
            CoTeaching(encoder, *args, **kwargs)
        assert "\n" not in str(error.value)

    fails("`forget_rate` must be at least 0.*-0.1", forget_rate=-0.1)
    fails("`forget_rate` must be .* below 1.*Received: 1", forget_rate=1)
    fails("`forget_rate`.*finite number.*None", forget_rate=None)
    fails("`forget_epochs` must be at least 1.*: 0", forget_epochs=0)
    fails("`forget_epochs`.*an integer.*2.5", forget_epochs=2.5)
    fails("`gamma` must be at least 0", gamma=-1)
    fails("`second_encoder` must be an Encoder. Received: int", 5)
    fails("`second_encoder` must share no weights", encoder)
    backbone = keras.Sequential([keras.Input((32, 32, 3)), Unknown()])
    with pytest.raises(ValueError, match="`second_encoder` must be given wh"):
        CoTeaching(Encoder(CATEGORICAL, (32, 32, 3), backbone=backbone))
    fails("must have the encoder's tasks=.*affect", make_encoder(MIXED))
    optimizer = keras.optimizers.SGD()
    with pytest.raises(ValueError, match="`second_optimizer` must be another"):
        CoTeaching(encoder).compile(optimizer, optimizer)
    larger = make_encoder(CATEGORICAL, image_shape=(48, 48, 3))
    fails("image_shape=.*32.*Received: .48, 48, 3", larger)
