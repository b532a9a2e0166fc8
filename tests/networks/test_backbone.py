"""Encoders whose convolutions are another network's."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    JointDistributionGAN,
    MultiTaskModel,
)
from keras_noisyfer.networks import Encoder, load_release_weights
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

TASKS = [
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]
SHAPE = (32, 32, 3)
rng = np.random.default_rng(0)
IMAGES = rng.uniform(-1, 1, (6, *SHAPE)).astype("float32")
LABELS = {
    "expression": rng.integers(0, 3, (6, 2)),
    "affect": rng.uniform(-1, 1, (6, 1, 2)).astype("float32"),
}


def make_backbone(pool=False, shape=SHAPE):
    inputs = keras.Input(shape)
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inputs)
    x = layers.Conv2D(5, 3, strides=2, activation="relu")(x)
    if pool:
        x = layers.Dense(7)(layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, x, name="mine")


def make_encoder(backbone, **options):
    return Encoder(
        TASKS, SHAPE, width=1 / 16, dropout=0.0, backbone=backbone, **options
    )


@pytest.mark.parametrize("pool", [False, True])
def test_heads_stand_on_the_backbones_features(pool):
    backbone = make_backbone(pool)
    rescaling = layers.Rescaling(127.5, 127.5)
    encoder = make_encoder(backbone, preprocessing=rescaling)
    outputs = encoder(IMAGES)
    features = backbone((IMAGES + 1) * 127.5)
    if not pool:
        features = np.mean(features, axis=(1, 2))
    for name in ("embedding_1", "embedding_2"):
        features = encoder.get_layer(name)(features)
    np.testing.assert_allclose(outputs["features"], features, atol=1e-4)
    for name, each in encoder.apply_heads(features)["labels"].items():
        np.testing.assert_allclose(outputs["labels"][name], each, atol=1e-4)
    assert outputs["labels"]["expression"].shape == (6, 2, 3)
    assert outputs["mean"].shape == (6, 100)


def test_it_is_trained_or_frozen_and_saved(tmp_path):
    for frozen in (False, True):
        backbone = make_backbone()
        backbone.trainable = not frozen
        model = MultiTaskModel(make_encoder(backbone))
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        before = backbone.get_weights()
        model.fit(IMAGES, LABELS, batch_size=6, verbose=0)
        moved = [
            np.any(first != second)
            for first, second in zip(
                before, backbone.get_weights(), strict=True
            )
        ]
        assert moved == [not frozen] * 4
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.encoder.backbone.trainable
    for name, each in model.predict(IMAGES, verbose=0).items():
        np.testing.assert_array_equal(
            each, loaded.predict(IMAGES, verbose=0)[name]
        )


def test_single_frozen_layers_stay_so(tmp_path):
    encoder = make_encoder(make_backbone())
    frozen = encoder.get_layer("embedding_1")
    frozen.trainable = encoder.backbone.layers[1].trainable = False
    model = CoTeaching(encoder)
    other = model.second_encoder.get_layer("embedding_1")
    np.testing.assert_array_equal(frozen.kernel, other.kernel)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.train_on_batch(IMAGES, LABELS)
    np.testing.assert_array_equal(frozen.kernel, other.kernel)
    model.save(tmp_path / "model.keras")
    # Keras warns if it leaves the optimizers' state out.
    with warnings.catch_warnings(action="error"):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (loaded.encoder, loaded.second_encoder):
        assert len(each.trainable_variables) == 10


def gan(encoder):
    # Another call of the encoder stands between.
    return JointDistributionGAN(encoder, auxiliary_weight=0.5, seed=0)


@pytest.mark.parametrize("make_model", [MultiTaskModel, CoTeaching, gan])
def test_its_own_losses_are_minimized(make_model):
    losses, penalties = [], []
    # Keras divides that of the outputs by the number of images, since 3.13.
    probe = layers.ActivityRegularization(l2=1.0)
    probe(np.ones((2, 1)))
    images = len(IMAGES) if float(probe.losses[0]) == 1.0 else 1
    for strength in (0.0, 0.01):
        keras.utils.set_random_seed(0)
        inputs = keras.Input(SHAPE)
        convolution = layers.Conv2D(
            4, 3, strides=8, kernel_regularizer=keras.regularizers.L2(strength)
        )
        x = layers.ActivityRegularization(l2=strength)(convolution(inputs))
        backbone = keras.Model(inputs, x)
        model = make_model(make_encoder(backbone))
        model.compile(keras.optimizers.SGD(1e-2), run_eagerly=True)
        for _ in range(2):
            squares = np.sum(backbone(IMAGES) ** 2) / images
            squares += np.sum(convolution.kernel**2)
            penalties.append(0.01 * float(squares))
            logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
            losses.append(logs["loss"])
    assert penalties[0] == penalties[2]
    assert losses[2] - losses[0] == pytest.approx(penalties[0], rel=1e-3)
    assert penalties[3] < penalties[1]


@pytest.mark.slow
@pytest.mark.smoke
def test_all_models_take_it():
    for make_model in (JointDistributionGAN, CoTeaching):
        model = make_model(make_encoder(make_backbone()))
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
        assert np.isfinite(list(logs.values())).all()
    # What it knows, and not the other weights, is that of both networks.
    again = CoTeaching(make_encoder(make_backbone()))
    pair = again.encoder, again.second_encoder
    kernels = [each.get_layer("embedding_1").kernel.numpy() for each in pair]
    assert np.any(kernels[0] != kernels[1])
    first, second = (each.backbone.get_weights() for each in pair)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    air = AIR(make_encoder(make_backbone()))
    air.compile(run_eagerly=True)
    history = air.fit(IMAGES, LABELS, batch_size=6, verbose=0).history
    assert np.isfinite(history["objective"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet"}, "`backbone` must be a keras.Model. Received"),
        (
            {"backbone": make_backbone(shape=(48, 48, 1))},
            r"take images of shape \(None, 32, 32, 3\). Received: 'mine'",
        ),
        (
            {"backbone": make_backbone(), "preprocessing": "caffe"},
            "`preprocessing` must be a keras.Layer",
        ),
        (
            {"backbone": make_backbone(), "batch_normalization": True},
            "`batch_normalization` must be False",
        ),
        ({"preprocessing": layers.Rescaling(2)}, "must be None without"),
        (
            {"backbone": keras.Sequential([layers.Reshape((-1, 3))])},
            "rank 4 or 2. Received: float32 of shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        Encoder(TASKS, SHAPE, width=1 / 16, **options)
    assert "\n" not in str(caught.value)


def test_the_release_has_no_backbone():
    with pytest.raises(ValueError, match="without a `backbone`"):
        load_release_weights(make_encoder(make_backbone()), {})


@pytest.mark.slow
def test_mobilenet_is_trained_exported_and_served(tmp_path):
    tf = pytest.importorskip("tensorflow")
    from keras_noisyfer import export

    backbone = keras.applications.MobileNetV3Small(
        input_shape=SHAPE, include_top=False, weights=None
    )
    encoder = make_encoder(
        backbone, preprocessing=layers.Rescaling(127.5, 127.5)
    )
    model = MultiTaskModel(encoder)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(IMAGES, LABELS, batch_size=6, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(IMAGES, verbose=0)
    for name, each in loaded.predict(IMAGES, verbose=0).items():
        np.testing.assert_allclose(each, expected[name], atol=1e-6)
    path = tmp_path / "faces" / "1"
    export(model, path, formats=("saved_model", "onnx", "litert"))
    served = tf.saved_model.load(str(path)).signatures["serve_float"]
    for name, each in served(image=tf.constant(IMAGES)).items():
        np.testing.assert_allclose(each, expected[name], atol=1e-5)
    pixels = np.round((IMAGES + 1) * 127.5).astype("uint8")
    expected = model.predict(pixels / np.float32(127.5) - 1, verbose=0)
    onnx = pytest.importorskip("onnxruntime").InferenceSession(
        path / "model.onnx"
    )
    names = [each.name for each in onnx.get_outputs()]
    for name, each in zip(
        names, onnx.run(None, {"image": pixels}), strict=True
    ):
        np.testing.assert_allclose(each, expected[name], atol=1e-4)
