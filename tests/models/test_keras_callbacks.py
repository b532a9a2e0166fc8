"""Keras' own callbacks, told by the names of our metrics alone."""

import keras
import numpy as np
import pytest
from keras import callbacks
from small_models import CASES, make_data, make_encoder

from keras_noisyfer.models import CoTeaching, MultiTaskModel

TASKS = CASES["expression_and_affect"]
DIRECTIONS = {
    "val_expression_accuracy": "max",
    "val_affect_ccc": "max",
    "val_affect_valence_ccc": "max",
    "val_affect_mse": "min",
    "val_expression_loss": "min",
    "expression_accuracy": "max",
}


@pytest.fixture(scope="module")
def model():
    model = MultiTaskModel(make_encoder(TASKS))
    model.compile(keras.optimizers.SGD(1e-3))
    return model


def fit(model, *given, epochs=1, validation=None):
    data = make_data(TASKS)
    return model.fit(
        *data,
        validation_data=validation or make_data(TASKS, clean=True),
        callbacks=list(given),
        epochs=epochs,
        verbose=0,
    ).history


def test_callbacks_know_which_way_is_better(model, tmp_path):
    watching = {}
    for monitor in DIRECTIONS:
        stop = callbacks.EarlyStopping(monitor, patience=5)
        save = callbacks.ModelCheckpoint(
            tmp_path / f"{monitor}.weights.h5",
            monitor,
            save_best_only=True,
            save_weights_only=True,
        )
        plateau = callbacks.ReduceLROnPlateau(monitor, patience=5, min_delta=0)
        watching[monitor] = stop, save, plateau
    history = fit(model, *sum(watching.values(), ()), epochs=3)
    for monitor, direction in DIRECTIONS.items():
        better = max if direction == "max" else min
        for each in watching[monitor]:
            assert each.best == better(history[monitor]), monitor
            assert bool(each.monitor_op(1.0, 0.0)) == (direction == "max")


def test_a_mode_that_was_given_stays(model):
    stop = callbacks.EarlyStopping("val_affect_ccc", mode="min", patience=5)
    values = fit(model, stop, epochs=2)["val_affect_ccc"]
    assert stop.best == min(values)


def test_a_task_without_labels_cannot_be_monitored(model):
    images, labels = make_data(TASKS, clean=True)
    labels["affect"][:] = np.nan
    stop = callbacks.EarlyStopping("val_affect_mse")
    with pytest.raises(ValueError, match="`validation_data` has none") as error:
        fit(model, stop, epochs=3, validation=(images, labels))
    assert "\n" not in str(error.value)
    other = callbacks.EarlyStopping("val_expression_accuracy", patience=5)
    history = fit(model, other, validation=(images, labels))
    assert np.isnan(history["val_affect_mse"]).all()


@pytest.mark.slow
@pytest.mark.smoke
def test_learning_rates_fall_together():
    model = CoTeaching(make_encoder(TASKS))
    model.compile(
        keras.optimizers.SGD(1e-2), keras.optimizers.SGD(4e-2), run_eagerly=True
    )
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    seen = []
    look = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            [
                float(each.learning_rate)
                for each in (model.optimizer, model.second_optimizer)
            ]
        )
    )
    fit(model, look, schedule, epochs=2)
    np.testing.assert_allclose(seen, [[5e-3, 2e-2], [2.5e-3, 1e-2]], rtol=1e-6)
    plateau = callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.1, patience=1, min_delta=1e9
    )
    fit(model, plateau, epochs=2)
    assert float(model.second_optimizer.learning_rate) == pytest.approx(1e-3)

    # A rate of 0 is none to multiply.
    warm_up = callbacks.LearningRateScheduler(lambda epoch: [0.0, 0.5][epoch])
    fit(model, warm_up, epochs=2)
    assert float(model.second_optimizer.learning_rate) == pytest.approx(2.0)

    # One that was changed itself keeps its rate.
    def set_both(epoch, logs=None):
        model.optimizer.learning_rate = 1.0
        model.second_optimizer.learning_rate = 0.5

    fit(model, callbacks.LambdaCallback(on_epoch_begin=set_both))
    assert float(model.second_optimizer.learning_rate) == 0.5
