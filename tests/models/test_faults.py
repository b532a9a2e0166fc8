import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import in_smoke
from keras import ops
from small_models import make_data, make_encoder

from keras_noisyfer.losses import MeanSquaredError
from keras_noisyfer.models import (
    CoTeaching,
    JointDistributionGAN,
    MultiTaskModel,
)
from keras_noisyfer.numerical_fault import NumericalFault
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from keras_noisyfer.training_state import state_variables

TASKS = [
    CategoricalTask("expression", 3, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]
# The decoder is no other kind of network to guard.
GAN = functools.partial(JointDistributionGAN, use_decoder=False)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


@keras.saving.register_keras_serializable("tests")
class FaultyLoss(MeanSquaredError):
    """Not finite, or of no finite gradient, for a batch with a label of 1."""

    def __init__(self, value=0.0, name="faulty_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.value = value

    def call(self, labels, predictions):
        marked = ops.max(labels) == 1.0
        # The root's slope at 0 is infinite.
        inside = ops.where(marked, 0.0, 1.0) * (1 + predictions[0, 0, 0] ** 2)
        slope = ops.sqrt(inside) - ops.stop_gradient(ops.sqrt(inside))
        added = ops.where(marked, self.value, 0.0)
        return super().call(labels, predictions) + slope + added


def make_batches(marked, count=16, with_index=True):
    """Batches of 4 of which those numbered have a label of 1."""
    images, labels = make_data(TASKS, count)
    labels["affect"] *= 0.9
    for each in marked:
        labels["affect"][4 * each + 2] = 1.0
    if with_index:
        index = 100 + np.arange(count, dtype="int32")
        images = {"image": images, "index": index}
    parts = (images, labels)
    return tf.data.Dataset.from_tensor_slices(parts).batch(4, True)


def compiled(model_class=MultiTaskModel, value=0.0, **options):
    keras.utils.set_random_seed(0)
    encoder = make_encoder(TASKS, batch_normalization=True)
    model = model_class(encoder)
    model.compile(
        FusedAdam(1e-2),
        loss={"affect": FaultyLoss(value)},
        run_eagerly=ON_TENSORFLOW,
        **options,
    )
    return model


def state(model):
    """All but the record of faults and the metrics, which are an epoch's."""
    kept = {id(each) for each in (*model.fault_guard.variables,)}
    kept |= {id(each) for each in model.metrics_variables}
    return [
        ops.convert_to_numpy(each.value)
        for each in state_variables(model)
        if id(each) not in kept
    ]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "value, term",
    [
        (np.nan, "affect_loss"),
        (np.inf, "affect_loss"),
        (0.0, "gradient of encoder/"),
    ],
)
def test_training_stops_before_the_fault(value, term):
    model = compiled(value=value)
    with pytest.raises(NumericalFault, match="on_nonfinite='skip'") as caught:
        model.fit(make_batches([2]), epochs=2, verbose=0)
    fault = caught.value
    assert fault.step == 3 and fault.images == [108, 109, 110, 111]
    assert fault.term.startswith(term)
    assert f"The {fault.term} was not finite in epoch 1, step 3, images " in (
        str(fault)
    )
    assert "\n" not in str(fault)
    # As after the two batches before it.
    sound = compiled(value=value)
    sound.fit(make_batches([2]).take(2), verbose=0)
    sound.completed_epochs.assign(0)
    assert_same(state(model), state(sound))


@pytest.mark.parametrize("value", [np.nan, in_smoke(0.0)])
def test_faulty_batches_are_left_out_and_counted(value):
    model = compiled(value=value, on_nonfinite="skip")
    with pytest.warns(UserWarning, match="step 2, images 104, ") as caught:
        history = model.fit(make_batches([1, 3]), epochs=2, verbose=0).history
    # Once, not for each epoch.
    assert sum("left out" in str(each.message) for each in caught) == 1
    assert history["skipped_batches"] == [2, 2]
    sound = compiled(value=value)
    batches = make_batches([1, 3])
    sound_batches = batches.take(1).concatenate(batches.skip(2).take(1))
    expected = sound.fit(sound_batches, epochs=2, verbose=0).history
    assert "skipped_batches" not in expected
    for name, values in expected.items():
        assert history[name] == pytest.approx(values, rel=1e-6), name
    assert_same(state(model), state(sound))
    # Of evaluation there is nothing to leave out.
    assert "skipped_batches" not in model.evaluate(
        batches, verbose=0, return_dict=True
    )


def test_an_epoch_without_a_sound_batch_stops():
    model = compiled(value=np.nan, on_nonfinite="skip")
    with pytest.raises(NumericalFault, match="so were all other batches"):
        model.fit(make_batches(range(4)), epochs=2, verbose=0)


def test_an_update_beyond_what_is_finite_ends_with_its_epoch():
    model = compiled()
    model.optimizer.learning_rate.assign(float("inf"))
    with pytest.raises(NumericalFault, match="The weight group_1_.* is not fi"):
        model.fit(make_batches([]).take(1), epochs=2, verbose=0)


@pytest.mark.slow
@pytest.mark.smoke
def test_a_validation_loss_that_is_not_finite_stops():
    model = compiled(value=np.inf)
    batches, faulty = make_batches([]), make_batches([1])
    with pytest.raises(
        NumericalFault, match=r"^The validation loss .* in epoch 1: .* up"
    ) as caught:
        model.fit(batches, validation_data=faulty, epochs=2, verbose=0)
    assert caught.value.term == "validation loss"
    model = compiled(value=np.inf, on_nonfinite="skip")
    history = model.fit(
        batches, validation_data=faulty, epochs=2, verbose=0
    ).history
    assert history["val_loss"] == [np.inf, np.inf]


def test_a_single_batch_stops_before_the_fault():
    model = compiled(value=np.nan)
    sound, faulty = make_batches([1]).take(2).as_numpy_iterator()
    model.train_on_batch(*sound)
    before = state(model)
    with pytest.raises(NumericalFault, match="finite in step 2, images 104"):
        model.train_on_batch(*faulty)
    assert_same(state(model), before)
    # That fault is over.
    logs = model.train_on_batch(*sound, return_dict=True)
    assert np.isfinite(logs["loss"])
    model = compiled(value=np.nan, on_nonfinite="skip")
    logs = model.train_on_batch(*faulty, return_dict=True)
    assert logs["skipped_batches"] == 1


def test_batches_that_do_not_tell_their_images():
    model = compiled(value=np.nan)
    with pytest.raises(NumericalFault, match="`with_index=True`") as caught:
        model.fit(make_batches([0], with_index=False), verbose=0)
    assert caught.value.images == [] and caught.value.step == 1


def test_a_batch_without_labels_is_no_fault():
    """Keras' own callback takes the mean of nothing, NaN, for one."""
    missing = {task.name: float(task.missing_value) for task in TASKS}

    def drop(inputs, labels):
        return inputs, {
            name: tf.fill(tf.shape(each), tf.cast(missing[name], each.dtype))
            for name, each in labels.items()
        }

    unlabelled = make_batches([]).take(1).map(drop)
    batches = unlabelled.concatenate(make_batches([]).take(1))
    stop = keras.callbacks.TerminateOnNaN()
    history = compiled().fit(batches, epochs=2, callbacks=[stop], verbose=0)
    assert np.isfinite(history.history["loss"]).tolist() == [True, True]


@pytest.mark.slow
@pytest.mark.smoke
def test_a_gan_stops_before_the_fault_and_goes_on():
    model = compiled(GAN, np.nan)
    with pytest.raises(NumericalFault) as caught:
        model.fit(make_batches([1]), verbose=0)
    assert caught.value.step == 2 and caught.value.term == "affect_loss"
    assert all(np.isfinite(each).all() for each in state(model))
    with pytest.raises(NumericalFault, match="epoch 1, step 4,"):
        model.fit(make_batches([1]), verbose=0)


def test_what_the_discriminator_finds_stops_all_updates():
    model = compiled(GAN, on_nonfinite="skip")
    bias = model.discriminator.trainable_variables[-1]
    bias.assign(ops.full(bias.shape, float("inf")))
    weights = model.trainable_variables
    before = [ops.convert_to_numpy(each.value) for each in weights]
    with pytest.raises(NumericalFault) as caught:
        model.fit(make_batches([]).take(2), verbose=0)
    assert caught.value.term == "discriminator_loss"
    assert_same(before, [ops.convert_to_numpy(each.value) for each in weights])


def test_both_networks_of_co_teaching_are_watched():
    model = compiled(CoTeaching, on_nonfinite="skip")
    weight = model.second_encoder.trainable_variables[0]
    weight.assign(ops.full(weight.shape, float("nan")))
    with pytest.raises(NumericalFault, match="second_loss|second_encoder/"):
        model.fit(make_batches([]), verbose=0)


@pytest.mark.slow
@pytest.mark.skipif(not ON_TENSORFLOW, reason="JAX traces all steps")
def test_traced_steps_do_as_eager_ones():
    histories = []
    for eagerly in (True, False):
        model = compiled(JointDistributionGAN, on_nonfinite="skip")
        model.run_eagerly = eagerly
        with pytest.warns(UserWarning, match="images 108, "):
            history = model.fit(make_batches([2]), epochs=2, verbose=0)
        histories.append(history.history)
    for name, values in histories[0].items():
        if name.endswith(("loss", "skipped_batches")):
            assert histories[1][name] == pytest.approx(values, rel=1e-3), name


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.skipif(not ON_TENSORFLOW, reason="JAX scales no losses")
def test_scaled_gradients_may_overflow():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = MultiTaskModel(make_encoder(TASKS))
        model.compile(keras.optimizers.Adam(1e-3))
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = model.optimizer
    optimizer.dynamic_scale.assign(2.0**40)
    model.fit(make_batches([]), verbose=0)
    # The optimizer has left the batches out and halved its scale.
    assert optimizer.dynamic_scale == 2.0**36
    assert optimizer.iterations == 0


def test_unknown_options():
    with pytest.raises(ValueError, match="`on_nonfinite` must be one of raise"):
        compiled(on_nonfinite="ignore")
