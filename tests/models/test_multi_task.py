import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer import losses, make_dataset
from keras_noisyfer.batches import check_shards
from keras_noisyfer.models import MultiTaskModel
from keras_noisyfer.networks import Encoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("mood", 3, annotators=2),
    ContinuousTask("pain", ("level", "onset")),
]


@pytest.fixture(scope="module")
def encoder():
    return Encoder(TASKS, (32, 32, 3), width=1 / 16, noise_code_size=5)


@pytest.mark.slow
@pytest.mark.smoke
def test_arrays_with_noisy_and_with_clean_labels_are_evaluated(encoder):
    model = MultiTaskModel(encoder)
    model.compile()
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (6, 32, 32, 3)).astype("float32")
    clean = {
        "mood": rng.integers(0, 3, 6),
        "pain": rng.uniform(-1, 1, (6, 2)).astype("float32"),
    }
    noisy = {
        "mood": np.stack([clean["mood"], (clean["mood"] + 1) % 3], axis=1),
        "pain": clean["pain"][:, None],
    }
    predicted = model.predict(images, verbose=0)["mood"].argmax(axis=-1)
    for labels in (noisy, clean, noisy):
        results = model.evaluate(
            images, labels, batch_size=6, return_dict=True, verbose=0
        )
        given = labels["mood"].reshape(6, -1)
        accuracy = np.mean(given == predicted[:, None])
        assert results["mood_accuracy"] == pytest.approx(accuracy)
    model.fit(images, noisy, validation_data=(images, clean), verbose=0)


def test_what_the_steps_are_traced_with_stays(encoder):
    model = MultiTaskModel(encoder)
    model.gamma = 0.5
    model.compile(loss_weights={"mood": 2.0})
    with pytest.raises(ValueError, match="`gamma` of a compiled .*: 50.0$"):
        model.gamma = 50.0
    MultiTaskModel(encoder, gamma=50.0).compile(model.optimizer)
    with pytest.raises(TypeError, match="does not support item assignment"):
        model.loss_weights["mood"] = 3.0
    assert model.get_compile_config()["loss_weights"]["mood"] == 2.0
    model.compile(loss_weights={"mood": 3.0})
    assert model.loss_weights == {"mood": 3.0, "pain": 1.0}


def test_a_list_of_results_has_the_order_of_their_names(encoder):
    model = MultiTaskModel(encoder)
    model.compile(metrics={"mood": "kl_divergence"}, run_eagerly=True)
    images = np.linspace(-1, 1, 4 * 32 * 32 * 3, dtype="float32")
    images = images.reshape(4, 32, 32, 3)
    labels = {
        "mood": np.array([0, 1, 2, 1]),
        "pain": images[:, 0, :2, 0],
    }
    results = model.evaluate(images, labels, verbose=0)
    named = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert dict(zip(model.metrics_names, results, strict=True)) == named
    assert model.metrics_names[0] == "loss"


@pytest.mark.parametrize(
    "name, loss",
    [
        ("mood", losses.ConcordanceLoss()),
        ("mood", "dice"),
        ("mood", keras.losses.CategoricalCrossentropy(reduction="sum")),
        # It would train missing labels, and weigh nothing.
        ("pain", lambda y_true, y_pred: keras.ops.mean(y_true - y_pred)),
        ("pain", None),
        ("pain", "mes"),
        ("mood", losses.SparseCategoricalCrossentropy(reduction="none")),
        ("pain", "sparse_categorical_crossentropy"),
        ("pain", 5),
    ],
)
def test_a_loss_must_fit_its_task(encoder, name, loss):
    with pytest.raises(ValueError, match=rf"`loss\['{name}'\]` must") as e:
        MultiTaskModel(encoder).compile(loss={name: loss})
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("argument", ["x", "validation_data"])
def test_processes_share_batches_of_one_size_only(
    encoder, argument, monkeypatch
):
    model = MultiTaskModel(encoder)
    model.compile()
    images = np.zeros((6, 32, 32, 3), "float32")
    labels = {"mood": np.zeros((6, 2), int), "pain": np.zeros((6, 1, 2))}
    datasets = {
        each: make_dataset(images, labels, TASKS, batch_size=3)
        for each in ("x", "validation_data")
    }
    datasets[argument] = make_dataset(images, labels, TASKS, batch_size=4)
    monkeypatch.setattr("keras_noisyfer.batches.is_multi_process", lambda: True)
    with pytest.raises(ValueError, match=f"`{argument}` must have batches of"):
        model.fit(**datasets, verbose=0)


def test_batches_that_replicas_cannot_share_are_refused():
    model = types.SimpleNamespace(
        distribute_strategy=types.SimpleNamespace(num_replicas_in_sync=2)
    )
    data = tf.data.Dataset.range(12)
    check_shards(model, x=data.batch(4, drop_remainder=True))
    # What only the last batch has is found later.
    check_shards(model, x=data.batch(5), validation_data=None)
    for given, batch_size in (
        (data.batch(3, drop_remainder=True), None),
        (np.zeros(12), 5),
    ):
        with pytest.raises(ValueError, match="`x` must have .* 2 replicas"):
            check_shards(model, batch_size, x=given)


def test_losses_without_a_name_train_and_frozen_weights_are_told(encoder):
    model = MultiTaskModel(encoder)
    by_hand = keras.losses.sparse_categorical_crossentropy
    loss = {"mood": lambda y_true, y_pred: by_hand(y_true, y_pred)}
    model.compile(loss=loss)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (4, 32, 32, 3)).astype("float32")
    labels = {
        "mood": rng.integers(0, 3, (4, 2)),
        "pain": rng.uniform(-1, 1, (4, 1, 2)).astype("float32"),
    }
    model.train_on_batch(images, labels)
    encoder.trainable = False
    try:
        model.compile(run_eagerly=True)
        with pytest.warns(UserWarning, match="not have any trainable weights"):
            model.train_on_batch(images, labels)
    finally:
        encoder.trainable = True
