"""Every pair of remedies: it trains, is saved and resumes, or is refused."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import in_smoke
from keras import layers
from small_models import CASES, changed, make_data, values

from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.losses import SparseSymmetricCrossentropy
from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    CrowdLayer,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.networks import Encoder
from keras_noisyfer.regularizers import EarlyLearning

TASKS = CASES["expression_and_affect"]
COUNT = 6

# What each is an argument of: the model's, compile's, the optimizer's.
MODELS = {
    "joint_distribution": (JointDistributionGAN, {}),
    "ramp": (JointDistributionGAN, {"ramp_epochs": 2}),
    "joint_every": (JointDistributionGAN, {"joint_every": 2}),
    "reconstruction": (JointDistributionGAN, {"reconstruction_weight": 10.0}),
    "co_teaching": (CoTeaching, {"forget_rate": 0.4}),
    "ltnet": (LTNet, {"tasks": TASKS, "warmup_epochs": 0}),
    "crowd_layer": (CrowdLayer, {"tasks": TASKS}),
    "air": (AIR, {}),
}
OPTIONS = {
    "early_learning": lambda: {"regularizers": [EarlyLearning(COUNT)]},
    "mixup": lambda: {"mixup": Mixup(0.4, seed=0)},
}
OTHERS = ("robust_loss", "averages", "backbone")
REFUSED = {
    ("early_learning", "mixup"): "`mixup` must be None with EarlyLearning",
    ("co_teaching", "mixup"): "`mixup` must be None with CoTeaching",
    ("air", "mixup"): "`mixup` must be None with AIR",
    ("air", "early_learning"): "`regularizers` must be empty for AIR",
    ("air", "averages"): "`optimizer` must have use_ema=False for a AIR",
    ("air", "robust_loss"): r"`loss\['expression'\]` must be left out for AIR",
}
QUICK = ("mixup", "backbone")


def all_pairs():
    for pair in itertools.combinations([*MODELS, *OPTIONS, *OTHERS], 2):
        classes = {MODELS[each][0] for each in pair if each in MODELS}
        if len(classes) > 1:
            # One model has one class: there is nothing to refuse.
            continue
        if pair == QUICK or pair in REFUSED:
            yield pair
        elif pair[0] in ("ramp", "joint_every", "reconstruction"):
            yield pytest.param(*pair, marks=pytest.mark.slow)
        else:
            yield in_smoke(*pair)


def build(pair):
    keras.utils.set_random_seed(1)
    kind, options = MultiTaskModel, {}
    for each in pair:
        if each in MODELS:
            kind = MODELS[each][0]
            options |= MODELS[each][1]
        if each in OPTIONS:
            options |= OPTIONS[each]()
    if kind is JointDistributionGAN:
        options["seed"] = 0
    backbone = None
    if "backbone" in pair:
        inputs = keras.Input((32, 32, 3))
        x = layers.Conv2D(4, 3, strides=4, activation="relu")(inputs)
        backbone = keras.Model(inputs, x, name="mine")
    single = "tasks" in options
    tasks = [task.with_annotators(1) if single else task for task in TASKS]
    shape = {"width": 1 / 16, "noise_code_size": 5, "dropout": 0.0}
    model = kind(
        Encoder(tasks, (32, 32, 3), backbone=backbone, **shape), **options
    )
    averages = {"use_ema": True, "ema_momentum": 0.9}
    loss = {"expression": SparseSymmetricCrossentropy()}
    model.compile(
        keras.optimizers.SGD(0.05, **averages if "averages" in pair else {}),
        loss=loss if "robust_loss" in pair else None,
        run_eagerly=True,
    )
    return model


def fit(model, epochs, *callbacks):
    images, labels = make_data(TASKS, COUNT, missing=True)
    inputs = {"image": images, "index": np.arange(COUNT)}
    batches = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(3)
    return model.fit(
        batches, epochs=epochs, callbacks=callbacks, verbose=0
    ).history


@pytest.mark.parametrize("first, second", list(all_pairs()))
def test_a_pair_trains_is_saved_and_resumes_or_is_refused(
    first, second, tmp_path
):
    pair = first, second
    if pair in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[pair]) as error:
            build(pair)
        assert "\n" not in str(error.value)
        return
    model = build(pair)
    start = values(model.trainable_variables)
    if "air" in pair:
        assert np.isfinite(fit(model, 1)["loss"]).all()
    else:
        resume = ResumeTraining(tmp_path / "state.npz")
        whole = fit(model, 2)
        assert np.isfinite([each for v in whole.values() for each in v]).all()
        fit(build(pair), 1, resume)
        again = build(pair)
        history = fit(again, 2, ResumeTraining(tmp_path / "state.npz"))
        assert history["loss"] == pytest.approx(whole["loss"], rel=1e-4)
        for one, other in zip(
            model.trainable_variables, again.trainable_variables, strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert any(changed(start, values(model.trainable_variables)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if "backbone" not in pair:
        # Keras writes lists of it as tuples, or tuples as lists.
        assert loaded.get_config() == model.get_config()
    assert loaded.get_compile_config() == model.get_compile_config()
    images, _ = make_data(TASKS, COUNT)
    expected = model.predict(images, verbose=0)
    for name, value in loaded.predict(images, verbose=0).items():
        np.testing.assert_array_equal(value, expected[name])
