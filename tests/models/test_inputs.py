"""Whatever way images and labels come in."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import make_encoder

from keras_noisyfer import value_checks
from keras_noisyfer.batches import check_batch_labels
from keras_noisyfer.models import (
    AIR,
    JointDistributionGAN,
    MultiTaskModel,
)
from keras_noisyfer.tasks import CategoricalTask

TASKS = [CategoricalTask("mood", 7)]
generator = np.random.default_rng(0)
IMAGES = generator.uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
LABELS = {"mood": generator.integers(0, 7, 8).astype("int32")}


@pytest.fixture(scope="module")
def model():
    model = MultiTaskModel(make_encoder(TASKS))
    model.compile()
    return model


@pytest.fixture(scope="module")
def air(model):
    air = AIR(model.encoder)
    air.compile()
    return air


def refused(function, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        function()
    assert len(str(caught.value).splitlines()) == 1


def test_all_ways_in_refuse_pixels(model, air):
    pixels = ((IMAGES + 1) * 127.5).astype("uint8")
    for call in (
        model,
        model.encoder,
        air,
        lambda x: model.predict(x, verbose=0),
        lambda x: model.encoder.predict(x, verbose=0),
        lambda x: air.predict(x, verbose=0),
        model.predict_on_batch,
    ):
        refused(lambda call=call: call(pixels), r"floating point .*uint8")
        message = r"in \[-1, 1\]. Received: absolute values up to 25[45]"
        floats = pixels.astype("float32")
        refused(lambda call=call, x=floats: call(x), message)
    for call in (
        model.fit,
        model.evaluate,
        model.train_on_batch,
        model.test_on_batch,
    ):
        refused(lambda call=call: call(pixels, LABELS), "floating point")
        refused(lambda call=call, x=floats: call(x, LABELS), "values up to 25")


def test_arguments_have_the_order_of_keras(model, air):
    for each in (model, air):
        history = each.fit(IMAGES, LABELS, 4, 2, 0, [])
        assert history.epoch == [0, 1] and history.params["steps"] == 2
    weights = np.arange(8.0)
    assert model.evaluate(IMAGES, LABELS, 4, 0, weights) == model.evaluate(
        IMAGES, LABELS, batch_size=4, verbose=0, sample_weight=weights
    )
    message = "one length.*sample_weight=3"
    refused(lambda: model.evaluate(IMAGES, LABELS, 4, 0, weights[:3]), message)


def test_values_of_arrays_are_checked_where_xla_would_not():
    model = MultiTaskModel(make_encoder(TASKS))
    with pytest.warns(UserWarning, match="do not check .* of a tf.data set"):
        model.compile(jit_compile=True)
    labels = {"mood": LABELS["mood"] + 5}
    weights = -np.ones(8)
    refused(lambda: model.fit(IMAGES, labels), "'mood' must be .*Received: ")
    refused(lambda: model.train_on_batch(127 * IMAGES, LABELS), "up to 126")
    refused(lambda: model.predict(127 * IMAGES), "up to 126")
    refused(lambda: model.evaluate(IMAGES, LABELS, 4, 0, weights), "least 0")


def test_images_from_0_to_1_are_told_of_once(model, air):
    """Whatever the way, in one warning a call; and of none in [-1, 1]."""
    scaled = IMAGES / 2 + 0.5
    data = tf.data.Dataset.from_tensor_slices((scaled, LABELS)).batch(4)
    for call in (
        lambda: model.fit(data, epochs=2, validation_data=data, verbose=0),
        lambda: model.evaluate(data, verbose=0),
        lambda: model.predict(scaled, verbose=0),
        lambda: model.predict(data, verbose=0),
        lambda: model.train_on_batch(scaled, LABELS),
        lambda: model(scaled),
        lambda: model.encoder(scaled),
        lambda: air.predict(scaled, verbose=0),
    ):
        with warnings.catch_warnings(record=True) as caught:
            # As Python does by default, whatever pytest makes of it.
            warnings.simplefilter("always")
            call()
        told = [each for each in caught if "[0, 1]" in str(each.message)]
        assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0)
        model.predict(np.zeros_like(IMAGES), verbose=0)
        model(IMAGES)


def test_what_is_no_batch_of_images_is_told_in_a_line(model):
    def predict(x):
        return lambda: model.predict(x, verbose=0)

    def fit(x, y=None, **options):
        return lambda: model.fit(x, y, verbose=0, **options)

    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    refused(predict(IMAGES[0]), "needs a batch axis")
    refused(predict(data.map(lambda x, y: x)), r"`.batch\(...\)`")
    refused(fit(data), r"`.batch\(...\)`")
    refused(predict(list(IMAGES)), "`x` must be an array .*a list of 8")
    refused(predict({"images": IMAGES}), "keys 'image' and 'index'")
    refused(fit(list(IMAGES), LABELS), "`x` must be an array")
    # Earlier releases of Keras have an IndexError here.
    if keras.__version__ >= "3.15":
        refused(fit(each for each in []), "must yield at least one batch")
    refused(fit(IMAGES[:0], {"mood": LABELS["mood"][:0]}), "at least 1")
    refused(fit(IMAGES), "images alone")
    empty = data.batch(4).take(0)
    message = "must hold at least one batch. Received: an empty"
    refused(fit(empty), f"`x` {message}")
    refused(predict(empty), f"`x` {message}")
    refused(lambda: model.evaluate(empty), f"`x` {message}")
    refused(
        fit(IMAGES, LABELS, validation_data=empty),
        f"`validation_data` {message}",
    )


def test_labels_of_another_form_are_told_in_a_line(model):
    def fit(y, **options):
        return lambda: model.fit(IMAGES, y, verbose=0, **options)

    mood = LABELS["mood"]
    refused(fit(mood), r"\['mood'\]. Received: int32 of shape \(8,\)")
    refused(fit(mood.tolist()), "Received: a list of 8")
    refused(fit({"mood": mood.tolist()}), "`mood` must be an array")
    named = mood.astype(str)
    refused(fit({"mood": named}), "`mood` must be .* numbers, of a class its")
    refused(fit({"mood": named.astype(object)}), "`mood` must be an array of")
    refused(fit({"mood": mood[:7]}), "one length.*image=8, mood=7")
    refused(fit({"mood": mood.astype("float32")}), "must be integers")
    refused(
        fit(LABELS, validation_data=(IMAGES, mood)), "Labels must be a dict"
    )
    # As image_dataset_from_directory gives it, but for the scale.
    data = tf.data.Dataset.from_tensor_slices((IMAGES, mood)).batch(4)
    refused(
        lambda: model.fit(data, verbose=0),
        r"a dict of labels by task name, .*int32 of shape \(None,\)",
    )


def test_compile_takes_what_it_uses(model):
    def compile_with(*arguments, **options):
        other = MultiTaskModel(model.encoder)
        return lambda: other.compile(*arguments, **options)

    for argument, given in (
        ("metrics", ["accuracy"]),
        ("loss", "mse"),
        ("loss_weights", [1.0]),
    ):
        message = rf"`{argument}` must be a dict by task name, \['mood'\]"
        refused(compile_with("adam", **{argument: given}), message)
        refused(
            compile_with("adam", **{argument: {"joy": given}}),
            rf"`{argument}` may only have the keys \['mood'\].*joy",
        )
    refused(compile_with(metrics={"mood": "mes"}), r"`metrics\['mood'\]` must")
    refused(compile_with(metrics={"mood": "accuracy"}), "the logs have already")
    refused(compile_with(loss_weights={"mood": -1}), r"\['mood'\]` must be at")
    same = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    refused(
        compile_with(metrics={"mood": [same]}), "other names.*mood_accuracy$"
    )
    refused(compile_with(weighted_metrics=[]), "no such arg.*weighted_metrics")
    refused(compile_with("adam", "mse"), "`loss` must be a dict")
    gan = JointDistributionGAN(model.encoder, use_decoder=False)
    refused(lambda: gan.compile("adam", "mse"), "mse")


@pytest.mark.slow
@pytest.mark.smoke
def test_class_ids_of_every_integer_dtype(model):
    expected = model.evaluate(IMAGES, LABELS, return_dict=True, verbose=0)
    for dtype in ("uint8", "uint16", "uint64", "int8", "int64"):
        labels = {"mood": LABELS["mood"].astype(dtype)}
        got = model.evaluate(IMAGES, labels, return_dict=True, verbose=0)
        assert got == pytest.approx(expected)
        labels["mood"][3] = 100
        refused(
            lambda labels=labels: model.evaluate(IMAGES, labels, verbose=0),
            "task 'mood' must be class ids from 0 to 6 .*Received: 100",
        )


def test_int64_ids_are_not_cut_off(model):
    labels = {"mood": LABELS["mood"].astype("int64") + 2**32}
    refused(lambda: model.evaluate(IMAGES, labels, verbose=0), "ed: 42949673")


def test_an_index_comes_in_with_the_images(model):
    index = np.arange(8)
    inputs = {"image": IMAGES, "index": index}
    np.testing.assert_array_equal(
        model.predict(inputs, verbose=0)["mood"],
        model.predict(IMAGES, verbose=0)["mood"],
    )
    assert model(inputs)["mood"].shape == (8, 7)
    model.fit(inputs, LABELS, verbose=0)
    refused(
        lambda: model.fit({"image": IMAGES, "index": index / 2}, LABELS),
        "'index' must be integers",
    )


def test_labels_of_another_rank_in_batches_of_unknown_shape(model):
    def batches(labels):
        for start in (0, 4):
            part = slice(start, start + 4)
            yield IMAGES[part], {"mood": labels[part]}

    clean = LABELS["mood"]
    for labels in (clean, clean[:, None]):
        model.fit(batches(labels), verbose=0)
        model.train_on_batch(IMAGES, {"mood": labels})
        loss, *_ = model.evaluate(batches(labels), verbose=0)
        expected, *_ = model.test_on_batch(IMAGES, {"mood": labels})
        assert loss == pytest.approx(expected, rel=1e-4)


def test_a_replica_without_images_is_told_of_in_a_line(monkeypatch):
    monkeypatch.setattr(value_checks, "is_replicated", lambda: True)
    share = tf.function(value_checks.check_share, reduce_retracing=True)
    np.testing.assert_array_equal(share(IMAGES), IMAGES)

    def none_left():
        check_batch_labels(TASKS, {"mood": LABELS["mood"][:0, None]})
        with value_checks.one_line_errors():
            share(IMAGES[:0])

    refused(none_left, "an image for each of the .* replicas.*Received: 0$")


def test_a_keras_data_set_in_the_contract(model):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, number):
            part = slice(4 * number, 4 * number + 4)
            return IMAGES[part], {"mood": LABELS["mood"][part]}, np.ones(4)

    assert "mood_accuracy" in model.fit(Batches(), verbose=0).history
