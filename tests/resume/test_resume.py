import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from resumed_training import EPOCHS, make_data, make_encoder, make_model

import keras_noisyfer as kn
from keras_noisyfer.training_state import read_state, state_variables


class StopAt(keras.callbacks.Callback):
    """Interrupts a run after a batch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def train(path=None, stop=None, seed=1, epochs=EPOCHS):
    """The history and all variables, or nothing where it is stopped."""
    keras.utils.set_random_seed(seed)
    data, model = make_data(), make_model()
    callbacks = [kn.ResumeTraining(path, save_freq=2)] if path else []
    if stop is not None:
        callbacks.append(StopAt(*stop))
    try:
        history = model.fit(data, epochs=epochs, callbacks=callbacks, verbose=0)
    except KeyboardInterrupt:
        return None
    values = [
        keras.ops.convert_to_numpy(each.value)
        for each in state_variables(model)
    ]
    return history, values


@pytest.fixture(scope="module")
def whole():
    return train()


def check_equal(found, whole):
    (history, values), (expected, expected_values) = found, whole
    assert history.epoch == expected.epoch
    assert history.history == expected.history
    for value, one in zip(values, expected_values, strict=True):
        np.testing.assert_array_equal(value, one)


# In the warm-up and after it; there on JAX too.
@pytest.mark.slow
@pytest.mark.parametrize(
    "stop", [(0, 2), pytest.param((2, 3), marks=pytest.mark.jax)]
)
def test_goes_on_bit_for_bit(tmp_path, whole, stop):
    path = tmp_path / "new" / "state.npz"
    assert train(path, stop) is None
    # Nothing of the first process is left, not even its weights' seed.
    check_equal(train(path, seed=1), whole)
    # Once more: nothing is left to train.
    history, _ = train(path)
    assert history.history == whole[0].history
    assert [each.name for each in path.parent.iterdir()] == ["state.npz"]


class CopyState(keras.callbacks.Callback):
    """Keeps the state that a process killed after a batch would leave."""

    def __init__(self, path, epoch, batch):
        super().__init__()
        self.path, self.at = path, (epoch, batch)

    on_epoch_begin = StopAt.on_epoch_begin

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            shutil.copy(self.path / "state.npz", self.path / "copy.npz")


@pytest.mark.slow
@pytest.mark.smoke
def test_goes_on_from_a_copy_bit_for_bit(tmp_path):
    """As `test_goes_on_bit_for_bit`, with half the steps to trace: one model,
    of which only Python's part is left when it goes on."""
    keras.utils.set_random_seed(1)
    model = make_model(use_decoder=False)

    def train(name, *callbacks):
        callbacks = [kn.ResumeTraining(tmp_path / name, 2), *callbacks]
        options = {"epochs": 3, "callbacks": callbacks, "verbose": 0}
        history = model.fit(make_data(), **options)
        return history, [np.array(each) for each in state_variables(model)]

    whole = train("state.npz", CopyState(tmp_path, 1, 3))
    for each in state_variables(model):
        # The rate is a setting, which must not differ.
        if not each.path.endswith("learning_rate"):
            each.assign(keras.ops.zeros_like(each))
    keras.utils.set_random_seed(1)
    check_equal(train("copy.npz"), whole)
    # Once more: nothing is left to train.
    check_equal(train("copy.npz"), whole)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {"state.npz", "copy.npz"}


def test_goes_on_with_the_rates_of_a_schedule(tmp_path):
    """The second optimizer's follows the first one's, also from the file."""

    def train(epochs, path=tmp_path / "state.npz"):
        keras.utils.set_random_seed(1)
        model = kn.CoTeaching(make_encoder())
        model.compile(kn.FusedAdam(1e-3), kn.FusedAdam(5e-4), run_eagerly=True)
        halve = keras.callbacks.LearningRateScheduler(lambda e: 1e-3 * 0.5**e)
        callbacks = [halve, *([kn.ResumeTraining(path)] if path else [])]
        fitted = model.fit(
            make_data(), epochs=epochs, callbacks=callbacks, verbose=0
        )
        rates = [model.optimizer, model.second_optimizer]
        return fitted.history["loss"], [
            float(each.learning_rate) for each in rates
        ]

    losses, rates = train(3, path=None)
    assert rates == pytest.approx([2.5e-4, 1.25e-4])
    train(2)
    assert train(3) == (losses, rates)


@pytest.mark.slow
def test_more_epochs_go_on(tmp_path, whole):
    path = tmp_path / "state.npz"
    train(path, epochs=2)
    check_equal(train(path), whole)


def test_a_data_set_that_was_read_before(tmp_path):
    """As in a notebook, of which a cell is run again."""

    def train(name, epochs, data, *callbacks):
        keras.utils.set_random_seed(1)
        model = kn.MultiTaskModel(make_encoder())
        model.compile(kn.FusedAdam(1e-3), run_eagerly=True)
        callbacks = [kn.ResumeTraining(tmp_path / f"{name}.npz"), *callbacks]
        options = {"epochs": epochs, "callbacks": callbacks, "verbose": 0}
        return model.fit(data, **options).history["loss"]

    keras.utils.set_random_seed(1)
    data = make_data()
    train("first", 1, data)
    whole = train("first", 3, data)
    assert whole == train("alone", 3, make_data())
    # Another run's first order is the fourth.
    second = train("second", 2, data)
    assert second != whole[:2]
    data = make_data()
    train("first", 3, data)
    with pytest.raises(KeyboardInterrupt):
        train("stopped", 2, data, StopAt(1, 2))
    with pytest.raises(ValueError, match="`x` must be made anew to go on from"):
        train("stopped", 2, data)
    assert train("stopped", 2, make_data()) == second


def small_fit(path, model=None, data=None, **options):
    model = model or kn.MultiTaskModel(make_encoder())
    if not model.compiled:
        model.compile(kn.FusedAdam(1e-3))
    callbacks = [kn.ResumeTraining(path)]
    data = make_data() if data is None else data
    options = {"epochs": 1, "verbose": 0, **options}
    return model.fit(data, callbacks=callbacks, **options)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    path = tmp_path_factory.mktemp("state") / "state.npz"
    small_fit(path)
    return path


def copy(state, folder, change=lambda content: content):
    path = folder / "state.npz"
    path.write_bytes(change(state.read_bytes()))
    return path


def refused(message, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=message) as caught:
        small_fit(*args, **kwargs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"not a checkpoint",
        lambda content: content[:5000] + b"damaged" + content[5007:],
    ],
)
def test_damaged_files_are_refused(state, tmp_path, change):
    path = copy(state, tmp_path, change)
    refused("state.npz must be a whole file of ResumeTraining", path)


@pytest.mark.slow
@pytest.mark.smoke
def test_files_of_others_are_refused(state, tmp_path):
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, weights=np.zeros(3))
    refused("foreign.npz must be a whole file of ResumeTraining", foreign)
    path = copy(state, tmp_path)
    other = kn.MultiTaskModel(make_encoder(), gamma=2.0)
    refused("other settings.*gamma=2.0, and in the file 1.0", path, other)
    other = kn.MultiTaskModel(make_encoder())
    other.compile(kn.FusedAdam(5e-3))
    refused("learning_rate=0.00499.*in the file 0.00", path, other)
    refused("model='JointDistributionGAN'", path, make_model())
    keras.utils.set_random_seed(7)
    refused("global_seed=7, and in the file", path)
    keras.utils.set_random_seed(0)
    fewer = make_data().take(3)
    refused("batches=3, and in the file 5", path, data=fewer)


def test_other_settings_of_the_data_are_refused(tmp_path):
    path = tmp_path / "state.npz"
    model = kn.MultiTaskModel(make_encoder())
    model.compile(kn.FusedAdam(1e-3))
    for seed in (0, 0, 1):
        settings = {"seed": seed, "columns": [("ann", "bob")]}
        resume = kn.ResumeTraining(path, settings=settings)
        if seed == 1:
            break
        model.fit(make_data(), callbacks=[resume], verbose=0)
    with pytest.raises(ValueError, match="settings.seed=1, and in the file 0"):
        model.fit(make_data(), callbacks=[resume], verbose=0)


class Poison(keras.callbacks.Callback):
    """Makes a weight infinite after the second batch of the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            self.model.encoder.trainable_variables[0].assign_add(
                np.full((3, 3, 3, 4), np.inf)
            )


@pytest.mark.slow
@pytest.mark.smoke
def test_a_fault_leaves_the_last_state_from_which_to_go_on(tmp_path):
    def train(path, *callbacks, **options):
        keras.utils.set_random_seed(1)
        data = make_data()
        model = kn.MultiTaskModel(make_encoder())
        model.compile(kn.FusedAdam(1e-3), **options)
        resume = kn.ResumeTraining(path, save_freq=1)
        callbacks = [resume, *callbacks]
        return model.fit(data, epochs=3, callbacks=callbacks, verbose=0)

    path = tmp_path / "state.npz"
    with pytest.raises(kn.NumericalFault, match="is not finite after"):
        train(path, Poison())
    history = train(path, on_nonfinite="skip").history
    assert history.pop("skipped_batches") == [0, 0]
    assert history == train(tmp_path / "whole.npz").history


@pytest.mark.slow
@pytest.mark.smoke
def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    path = tmp_path / "state.npz"

    class LargeRate(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                self.model.optimizer.learning_rate.assign(float("inf"))

    model = kn.MultiTaskModel(make_encoder())
    model.compile(kn.FusedAdam(1e-3))
    resume = kn.ResumeTraining(path, save_freq=1)
    with pytest.raises(kn.NumericalFault, match="The weight .* is not finite"):
        model.fit(make_data(), callbacks=[LargeRate(), resume], verbose=0)
    header, values = read_state(path)
    assert header["batch"] == 2
    assert all(np.isfinite(each).all() for each in values)


@pytest.mark.slow
@pytest.mark.smoke
def test_validation_of_some_epochs(tmp_path):
    def train(path, epochs):
        keras.utils.set_random_seed(1)
        # Not shuffled.
        held_out = tf.data.Dataset.from_tensors(next(iter(make_data())))
        options = {"validation_data": held_out, "validation_freq": 2}
        return small_fit(path, epochs=epochs, **options).history

    path = tmp_path / "state.npz"
    train(path, 2)
    history = train(path, 4)
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 2
    assert history == train(tmp_path / "whole.npz", 4)


def test_wrong_arguments(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(ValueError, match="`path` must end in '.npz'"):
        kn.ResumeTraining(tmp_path / "state.keras")
    with pytest.raises(ValueError, match="`save_freq` must be at least 1"):
        kn.ResumeTraining(path, save_freq=0)
    with pytest.raises(ValueError, match="`settings` must be a dict, as JSON"):
        kn.ResumeTraining(path, settings={"seed": {1}})
    model = kn.MultiTaskModel(make_encoder())
    model.compile()
    with pytest.raises(ValueError, match="at most one ResumeTraining"):
        twice = [kn.ResumeTraining(path), kn.ResumeTraining(path)]
        model.fit(make_data(), callbacks=twice, verbose=0)
    refused("`steps_per_epoch` must be left out", path, steps_per_epoch=2)
    endless = make_data().repeat()
    refused(
        "`x` must be .* known number", path, data=endless, steps_per_epoch=2
    )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "state.npz"
    refused("`path` must be in a folder", path, error=OSError)


class FillDisk(keras.callbacks.Callback):
    """A write beyond a limit gives what a full disk does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            limits = (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
@pytest.mark.smoke
def test_a_full_disk_leaves_the_last_state(tmp_path):
    path = tmp_path / "state.npz"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = kn.MultiTaskModel(make_encoder())
    model.compile(kn.FusedAdam(1e-3))
    callbacks = [FillDisk(), kn.ResumeTraining(path)]
    try:
        with pytest.raises(OSError, match="could not .* epoch 2, batch 5") as e:
            model.fit(make_data(), epochs=2, callbacks=callbacks, verbose=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"The last one is kept in {path}" in str(e.value)
    assert [each.name for each in tmp_path.iterdir()] == ["state.npz"]
    model = kn.MultiTaskModel(make_encoder())
    history = small_fit(path, model, epochs=2)
    assert history.epoch == [0, 1]
    assert int(model.completed_epochs) == 2


@pytest.mark.slow
@pytest.mark.smoke
def test_left_over_temporary_files_are_removed(tmp_path):
    (tmp_path / "state.npz.123.tmp").write_text("of a killed process")
    small_fit(tmp_path / "state.npz")
    assert [each.name for each in tmp_path.iterdir()] == ["state.npz"]


def test_a_data_set_is_needed(tmp_path):
    images, labels = next(iter(make_data(20).take(1)))
    labels = tf.nest.map_structure(lambda each: each.numpy(), labels)
    model = kn.MultiTaskModel(make_encoder())
    model.compile()
    with pytest.raises(ValueError, match="`x` must be a tf.data.Dataset"):
        model.fit(
            images.numpy(),
            labels,
            callbacks=[kn.ResumeTraining(tmp_path / "state.npz")],
            verbose=0,
        )
