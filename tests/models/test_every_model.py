"""What every model of noisy labels passes: a new one is one line of MODELS."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import in_smoke
from small_models import CASES, changed, make_data, make_encoder, values

from keras_noisyfer.checkpoints import ResumeTraining
from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    CrowdLayer,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.optimizers import optimizers_of
from keras_noisyfer.regularizers import EarlyLearning

TASKS = CASES["expression_and_affect"]
COUNT = 6


def of_annotators(kind, **options):
    single = make_encoder([task.with_annotators(1) for task in TASKS])
    return kind(single, TASKS, **options)


MODELS = {
    "plain": lambda encoder: MultiTaskModel(encoder, gamma=0.5),
    "early_learning": lambda encoder: MultiTaskModel(
        encoder, regularizers=[EarlyLearning(COUNT)], consensus="first"
    ),
    "gan": lambda encoder: JointDistributionGAN(
        encoder, seed=0, score_weights={"joint": 2.0}
    ),
    "gan_without_decoder": lambda encoder: JointDistributionGAN(
        encoder,
        seed=0,
        use_decoder=False,
        lambda_joint="auto",
        gamma="auto",
        regularizers=[EarlyLearning(COUNT)],
    ),
    "co_teaching": lambda encoder: CoTeaching(encoder, forget_rate=0.4),
    "ltnet": lambda encoder: of_annotators(
        LTNet, warmup_epochs=0, trace_weight=0.1
    ),
    "crowd_layer": lambda encoder: of_annotators(CrowdLayer),
    "air": lambda encoder: AIR(encoder, group_weight=0.1),
}


# What has a quicker twin is left to the smoke tests.
NAMES = [in_smoke(name) if name == "gan" else name for name in MODELS]
FEW = [in_smoke(name) if "gan" in name else name for name in MODELS]
TWO = [n if n in ("plain", "ltnet") else in_smoke(n) for n in MODELS]
# AIR solves for its last layer, over all images at once.
STEPPED = FEW[:-1]


def build(name):
    keras.utils.set_random_seed(1)
    model = MODELS[name](make_encoder(TASKS, batch_normalization=True))
    model.compile(
        # Adam's first steps are of one size for the smallest of gradients.
        keras.optimizers.SGD(0.1),
        loss={"affect": "huber"},
        loss_weights={"affect": 0.7},
        metrics={"affect": ["mean_absolute_error"]},
        run_eagerly=True,
    )
    return model


@pytest.fixture(scope="module")
def built():
    """A model of each kind, with the weights that it began with."""
    made = {}

    def get(name):
        if name not in made:
            model = build(name)
            made[name] = model, values(state(model))
        model, start = made[name]
        for variable, value in zip(state(model), start, strict=True):
            variable.assign(value)
        model.reset_metrics()
        return model

    return get


def state(model):
    optimizers = optimizers_of(model)
    return [
        *model.variables,
        *(v for each in optimizers for v in each.variables),
    ]


def data(missing=True):
    images, labels = make_data(TASKS, COUNT, missing=missing)
    inputs = {"image": images, "index": np.arange(COUNT)}
    return inputs, labels


def step(model, inputs, labels, sample_weight=None):
    """The weights after one more step, and its logs."""
    logs = model.train_on_batch(inputs, labels, sample_weight, return_dict=True)
    return values(model.trainable_variables), logs


def assert_close(first, second, **tolerance):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize("name", FEW)
def test_fits_evaluates_and_predicts(built, name):
    model = built(name)
    inputs, labels = data()
    before = values(model.trainable_variables)
    clean = make_data(TASKS, COUNT, clean=True)
    history = model.fit(
        inputs,
        labels,
        batch_size=COUNT,
        sample_weight=np.linspace(0.5, 2, COUNT),
        validation_data=clean,
        verbose=0,
    ).history
    moved = changed(before, values(model.trainable_variables))
    assert any(moved) if name == "air" else np.mean(moved) > 0.7
    assert np.isfinite(list(history.values())).all()
    names = {f"{task.name}_loss" for task in TASKS} | {
        "loss",
        "expression_accuracy",
        "affect_ccc",
        "affect_valence_ccc",
        "affect_mse",
        "affect_mean_absolute_error",
    }
    assert names | {f"val_{each}" for each in names} <= set(history)
    # What training adds is not of evaluation.
    assert {each[4:] for each in history if each[:4] == "val_"} == names | {
        "affect_arousal_ccc"
    }
    got = model.evaluate(*clean, return_dict=True, verbose=0)
    predictions = model.predict(inputs, verbose=0)
    assert predictions["expression"].shape == (COUNT, 7)
    np.testing.assert_allclose(predictions["expression"].sum(-1), 1, rtol=1e-5)
    errors = predictions["affect"] - clean[1]["affect"]
    assert got["affect_mse"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert got["affect_mean_absolute_error"] == pytest.approx(
        np.abs(errors).mean(), rel=1e-4
    )
    hits = predictions["expression"].argmax(-1) == clean[1]["expression"]
    assert got["expression_accuracy"] == pytest.approx(hits.mean())


@pytest.mark.parametrize("name", TWO)
def test_saves_and_goes_on(built, name, tmp_path):
    model = built(name)
    inputs, labels = data()
    model.fit(inputs, labels, batch_size=COUNT, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()
    assert loaded.get_compile_config() == model.get_compile_config()
    assert int(loaded.completed_epochs) == 1
    first, second = state(model), state(loaded)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        if "seed_generator" in one.path:
            # Keras' files have no random states, those of a run have.
            other.assign(one)
        np.testing.assert_array_equal(one, other)
    for task, value in model.predict(inputs, verbose=0).items():
        np.testing.assert_array_equal(
            value, loaded.predict(inputs, verbose=0)[task]
        )
    if name != "air":
        # Dropout there is none, and noise goes on where it was.
        assert_close(
            step(model, inputs, labels)[0],
            step(loaded, inputs, labels)[0],
            atol=1e-6,
        )


@pytest.mark.parametrize("name", TWO)
def test_resumes(built, name, tmp_path):
    batches = tf.data.Dataset.from_tensor_slices(data()).batch(COUNT)
    path = tmp_path / "state.npz"

    def fit(epochs, *callbacks):
        model.fit(batches, epochs=epochs, callbacks=callbacks, verbose=0)
        return values(state(model))

    model = built(name)
    if name == "air":
        with pytest.raises(ValueError, match="without ResumeTraining for AIR"):
            fit(2, ResumeTraining(path))
        return
    whole = fit(2)
    built(name)
    fit(1, ResumeTraining(path))
    built(name)
    assert_close(fit(2, ResumeTraining(path)), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STEPPED)
def test_a_task_without_labels_teaches_nothing(built, name):
    """Nor has it a loss, and the others go on."""
    inputs, labels = data()
    labels["affect"][:] = np.nan
    ends = []
    for fill in (0.0, 0.5):
        model = built(name)
        before = values(model.trainable_variables)
        # What is predicted for them changes the heads of affect alone.
        bias = model.encoder.get_layer("label_streams").bias
        bias.assign(np.r_[np.zeros(bias.shape[0] - 2), fill, fill])
        after, logs = step(model, inputs, labels)
        if model.gamma != "auto":
            assert np.isnan(logs["affect_loss"])
            assert np.isnan(logs["affect_ccc"])
        assert np.isfinite([logs["loss"], logs["expression_loss"]]).all()
        assert any(changed(before, after))
        ends.append(bias.numpy()[-2:])
    np.testing.assert_array_equal(ends, [[0.0, 0.0], [0.5, 0.5]])


@pytest.mark.parametrize("name", STEPPED)
def test_an_image_of_weight_0_teaches_nothing(built, name):
    """Other images and labels of weight 0 train the same model, to the bit."""
    inputs, labels = data(missing=False)
    weights = np.array([1, 1, 0, 2, 0, 0.5], "float32")
    others = {k: each.copy() for k, each in labels.items()}
    others["expression"][weights == 0] = 0
    others["affect"][weights == 0] = 0.9
    first, logs = step(built(name), inputs, labels, weights)
    second, other_logs = step(built(name), inputs, others, weights)
    if name == "gan":
        # The decoder's batch statistics are those of all images.
        assert logs["expression_loss"] == other_logs["expression_loss"]
        return
    assert logs == other_logs
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", FEW[:-1])
def test_equal_weights_change_nothing(built, name):
    none, logs = step(built(name), *data())
    weights = np.full(COUNT, 2, "int64")
    if name == "co_teaching":
        weights = {task.name: np.full(COUNT, 0.5) for task in TASKS}
    equal, equal_logs = step(built(name), *data(), weights)
    assert equal_logs == pytest.approx(logs, rel=1e-4)
    assert_close(equal, none, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_values_may_be_any_floats(built, name, dtype):
    """As NumPy's float64 in a data set, which Keras does not cast."""
    model = built(name)
    results = []
    for each in ("float32", dtype):
        inputs, labels = data()
        # The same in all of them.
        affect = np.round(labels["affect"] * 64) / 64
        labels = {**labels, "affect": affect.astype(each)}
        batches = tf.data.Dataset.from_tensors((inputs, labels))
        results.append(model.evaluate(batches, verbose=0, return_dict=True))
    assert results[1] == pytest.approx(results[0], nan_ok=True)
    logs = model.fit(batches, verbose=0).history
    assert np.isfinite(logs["affect_loss"]).all()


@pytest.mark.parametrize("name", TWO)
def test_trains_in_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name)
        inputs, labels = data()
        before = values(model.trainable_variables)
        history = model.fit(inputs, labels, batch_size=COUNT, verbose=0).history
        predictions = model.predict(inputs, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    assert any(changed(before, values(model.trainable_variables)))
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert predictions["expression"].dtype == np.float32
    np.testing.assert_allclose(predictions["expression"].sum(-1), 1, rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_told_in_a_line(built, name):
    model = built(name)
    inputs, labels = data()
    pixels = {**inputs, "image": inputs["image"] * 127 + 127}
    wide = {**labels, "expression": labels["expression"] + 7}
    for x, y, options, message in (
        (pixels, labels, {}, r"Images must be in \[-1, 1\]"),
        (inputs, {"affect": labels["affect"]}, {}, "exactly the keys"),
        (inputs, wide, {}, "task 'expression' must be class ids from 0 to 6"),
        (inputs, labels, {"class_weight": {0: 2.0}}, "`class_weight` must be"),
        (
            inputs,
            labels,
            {"sample_weight": np.full(COUNT, -1.0)},
            "at least 0. Received: -1",
        ),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            model.fit(x, y, batch_size=COUNT, verbose=0, **options)
        assert "\n" not in str(caught.value)
    for options, message in (
        ({"loss": {"joy": "mse"}}, "`loss` may only have the keys"),
        ({"metrics": ["mse"]}, "`metrics` must be a dict by task name"),
        (
            {"weighted_metrics": []},
            f"of a {type(model).__name__} takes no such",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            model.compile("sgd", **options)
