"""What Keras does for a model's optimizer holds for its second one."""

import types

import keras
import numpy as np
import pytest
from common import in_smoke
from keras import optimizers
from small_models import CASES, changed, make_data, make_encoder, values

from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.optimizers import make_second_optimizer

TASKS = CASES["three_label_sets"]


def gan(**options):
    encoder = make_encoder(TASKS, batch_normalization=True)
    options = {"use_decoder": False, "seed": 0, **options}
    return JointDistributionGAN(encoder, **options)


def refused(function, message):
    with pytest.raises(ValueError, match=message) as caught:
        function()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        optimizers.AdamW(
            2e-3,
            weight_decay=0.02,
            global_clipnorm=0.5,
            loss_scale_factor=8.0,
            beta_1=0.4,
        ),
        *(
            kind(learning_rate=3e-4)
            for name, kind in sorted(vars(optimizers).items())
            if isinstance(kind, type) and "Optimizer" not in name
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_copy_has_the_whole_configuration(given):
    variable = keras.Variable(np.ones((3, 4), "float32"))
    if isinstance(given, optimizers.Muon) and keras.__version__ < "3.13":
        pytest.skip("Keras' own fails on TensorFlow")
    model = types.SimpleNamespace(optimizer=given, trainable_variables=[])
    copy = make_second_optimizer(model, "second_optimizer", None, [variable])
    assert copy is not given and type(copy) is type(given)
    assert copy.get_config() == given.get_config()
    copy.apply([0.5 * variable], [variable])
    assert np.any(variable.numpy() != 1.0)


@pytest.mark.parametrize(
    "options",
    [{"clipnorm": 1e-6}, {"clipvalue": 1e-9}, {"global_clipnorm": 1e-6}],
)
def test_both_gradients_are_clipped(options):
    model = CoTeaching(make_encoder(TASKS))
    model.compile(optimizers.SGD(1e-3, **options), run_eagerly=True)
    before = values(model.trainable_variables)
    model.train_on_batch(*make_data(TASKS))
    after = values(model.trainable_variables)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_weight_decay_reaches_the_discriminator():
    model = gan(lambda_joint=0.0)
    model.compile(
        optimizers.SGD(0.0),
        optimizers.SGD(0.5, weight_decay=0.1, clipvalue=1e-12),
        run_eagerly=True,
    )
    before = values(model.discriminator.trainable_variables)
    model.train_on_batch(*make_data(TASKS))
    after = values(model.discriminator.trainable_variables)
    for one, other in zip(before, after, strict=True):
        # Two updates a batch.
        np.testing.assert_allclose(other, one * 0.95**2, atol=1e-6)


def test_accumulated_gradients_are_those_of_a_large_batch():
    images, labels = make_data(TASKS, count=12)
    ends = []
    for steps, size in ((3, 4), (None, 12)):
        keras.utils.set_random_seed(0)
        model = CoTeaching(make_encoder(TASKS), forget_rate=0.0)
        model.compile(
            optimizers.SGD(0.1, gradient_accumulation_steps=steps),
            run_eagerly=True,
        )
        start = values(model.trainable_variables)
        model.fit(images, labels, batch_size=size, shuffle=False, verbose=0)
        ends.append(values(model.trainable_variables))
        assert sum(changed(start, ends[-1])) > 20
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.smoke
def test_several_updates_a_batch_are_not_accumulated():
    accumulating = {"gradient_accumulation_steps": 2}
    refused(
        lambda: gan().compile(optimizers.SGD(0.1, **accumulating)),
        "`discriminator_optimizer` must not accumulate.* 2 times a batch",
    )
    # The generators alone, or one update a batch.
    gan().compile(optimizers.SGD(0.1, **accumulating), optimizers.SGD(0.1))
    model = gan(discriminator_steps=1)
    model.compile(optimizers.SGD(0.1, **accumulating), run_eagerly=True)
    moved = []
    for _ in range(2):
        before = values(model.discriminator.trainable_variables)
        model.train_on_batch(*make_data(TASKS))
        after = values(model.discriminator.trainable_variables)
        moved.append(any(changed(before, after)))
    assert moved == [False, True]


def test_batches_without_the_decoder_are_not_accumulated():
    refused(
        lambda: gan(joint_every=2).compile(
            optimizers.SGD(0.1, gradient_accumulation_steps=2),
            optimizers.SGD(0.1),
        ),
        "`optimizer` must not accumulate .*`joint_every`.*Received: .*=2$",
    )


def test_each_batch_updates_the_discriminator_several_times():
    model = gan(discriminator_steps=3)
    model.compile(optimizers.SGD(0.1), run_eagerly=True)
    model.train_on_batch(*make_data(TASKS))
    assert int(model.discriminator_optimizer.iterations) == 3
    assert int(model.optimizer.iterations) == 1


def test_a_schedule_counts_the_batches_between():
    schedule = optimizers.schedules.PiecewiseConstantDecay([6], [1e-3, 1e-4])
    model = gan(discriminator_steps=2, joint_every=4)
    model.compile(optimizers.Adam(schedule))
    second = model.discriminator_optimizer
    rates = []
    for updates in (0, 2, 3, 4):
        second.iterations.assign(updates)
        rates.append(float(second.learning_rate))
    # In batches 0, 4, 4 and 8.
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3, 1e-4])


@pytest.mark.parametrize("given", [False, True])
def test_a_schedule_counts_batches(given):
    schedule = optimizers.schedules.PiecewiseConstantDecay([2], [1e-3, 1e-4])
    model = gan(discriminator_steps=3)
    others = [optimizers.Adam(schedule)] if given else []
    model.compile(optimizers.Adam(schedule), *others)
    again = gan(discriminator_steps=3)
    again.compile_from_config(model.get_compile_config())
    for each in (model, again):
        second = each.discriminator_optimizer
        rates = []
        for updates in (0, 6, 8, 9):
            second.iterations.assign(updates)
            rates.append(float(second.learning_rate))
        np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3, 1e-4])


AVERAGES = {"use_ema": True, "ema_momentum": 0.75}


def moving_average(seen):
    average = seen[0]
    for each in seen[1:]:
        average = [
            0.75 * one + 0.25 * other
            for one, other in zip(average, each, strict=True)
        ]
    return average


class Watch(keras.callbacks.Callback):
    """Notes the weights after each batch, in validation and at the ends."""

    def __init__(self):
        super().__init__()
        self.seen, self.validated, self.ended = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(values(self.model.trainable_variables))

    def on_test_batch_end(self, batch, logs=None):
        self.validated.append(values(self.model.trainable_variables))

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(values(self.model.trainable_variables))


def close(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize("kind", [in_smoke("gan"), "co_teaching", "ltnet"])
def test_averages_of_all_optimizers_are_validated_and_stay(kind):
    """By hand, from the weights after each of four steps."""
    if kind == "gan":
        model = gan(discriminator_steps=1)
    elif kind == "co_teaching":
        model = CoTeaching(make_encoder(TASKS))
    else:
        single = [task.with_annotators(1) for task in TASKS]
        # Matrices are averaged before their constraint.
        model = LTNet(make_encoder(single), TASKS, warmup_epochs=9)
    given = [optimizers.SGD(0.1, **AVERAGES)]
    model.compile(*given, run_eagerly=True)
    watch = Watch()
    model.fit(
        *make_data(TASKS),
        batch_size=4,
        epochs=2,
        validation_data=make_data(TASKS, clean=True),
        callbacks=[watch],
        verbose=0,
    )
    assert sum(changed(watch.seen[0], watch.seen[3])) > 10
    for epoch in range(2):
        expected = moving_average(watch.seen[: 2 * epoch + 2])
        close(watch.validated[2 * epoch], expected)
        close(watch.ended[epoch], expected)
    # Training went on from the weights, and ends with the averages.
    close(values(model.trainable_variables), expected)


def test_there_are_no_averages_before_the_first_update():
    """Keras' are zeros then: of a discriminator as long as it warms up."""
    model = gan(warmup_epochs=1)
    model.compile(optimizers.SGD(0.1, **AVERAGES), run_eagerly=True)
    before = values(model.discriminator.trainable_variables)
    watch = Watch()
    data = {"batch_size": 4, "callbacks": [watch], "verbose": 0}
    model.fit(*make_data(TASKS), **data)
    close(values(model.discriminator.trainable_variables), before)
    history = model.fit(*make_data(TASKS), **data).history
    assert np.isfinite(history["discriminator_loss"]).all()


def test_a_schedule_is_not_that_of_another_model():
    model = gan(discriminator_steps=2)
    schedule = optimizers.schedules.CosineDecay(0.1, 10)
    model.compile(optimizers.SGD(schedule), optimizers.SGD(schedule))
    again = JointDistributionGAN(
        model.encoder,
        discriminator=model.discriminator,
        discriminator_steps=1,
        use_decoder=False,
    )
    again.compile(model.optimizer, model.discriminator_optimizer)
    rate = again.discriminator_optimizer._learning_rate
    assert isinstance(rate, optimizers.schedules.CosineDecay)


def test_averages_keep_to_the_constraints():
    single = [task.with_annotators(1) for task in TASKS]
    model = LTNet(make_encoder(single), TASKS, warmup_epochs=0)
    model.compile(optimizers.SGD(0.5, **AVERAGES), run_eagerly=True)
    model.fit(*make_data(TASKS), batch_size=2, verbose=0)
    (matrices,) = model.transition_matrices.values()
    assert 0 <= matrices.min() < matrices.max() < 1
    np.testing.assert_allclose(matrices.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.smoke
def test_averages_of_one_optimizer_alone():
    model = gan(discriminator_steps=1)
    model.compile(
        optimizers.SGD(0.1),
        optimizers.SGD(0.1, **AVERAGES),
        run_eagerly=True,
    )
    watch = Watch()
    data = make_data(TASKS)
    model.fit(*data, batch_size=4, callbacks=[watch], verbose=0)
    averaged = {id(each) for each in model.discriminator.trainable_variables}
    for variable, found, last, average in zip(
        model.trainable_variables,
        values(model.trainable_variables),
        watch.seen[-1],
        moving_average(watch.seen),
        strict=True,
    ):
        expected = average if id(variable) in averaged else last
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_swapping_is_left_to_a_callback_that_was_given():
    model = MultiTaskModel(make_encoder(TASKS))
    model.compile(optimizers.SGD(0.1, **AVERAGES), run_eagerly=True)
    watch = Watch()
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(
        *make_data(TASKS), batch_size=4, callbacks=[swap, watch], verbose=0
    )
    close(watch.ended[0], moving_average(watch.seen))
    close(values(model.trainable_variables), watch.ended[0])


def test_averages_of_what_is_not_trained_are_refused():
    refused(
        lambda: AIR(make_encoder(TASKS)).compile(
            optimizers.SGD(0.1, **AVERAGES)
        ),
        "`optimizer` must have use_ema=False for a AIR",
    )


def test_losses_are_scaled_for_both():
    model = gan()
    scaling = optimizers.LossScaleOptimizer(optimizers.SGD(0.1))
    model.compile(scaling, optimizers.SGD(0.2))
    both = (model.optimizer, model.discriminator_optimizer)
    assert all(isinstance(e, optimizers.LossScaleOptimizer) for e in both)


def test_what_is_frozen_stays():
    model = gan(use_decoder=True)
    first = model.encoder.get_layer("group_1_convolution_1")
    for each in (first, model.decoder, model.discriminator):
        each.trainable = False
    model.compile(optimizers.SGD(0.1), run_eagerly=True)
    kernels = [
        variable
        for network in (first, model.decoder, model.discriminator)
        for variable in network.weights
        if variable.path.endswith("kernel")
    ]
    assert len(kernels) > 20
    learning = model.encoder.trainable_variables
    before, encoder = values(kernels), values(learning)
    model.train_on_batch(*make_data(TASKS))
    assert not any(changed(before, values(kernels)))
    assert any(changed(encoder, values(learning)))


def test_an_optimizer_of_others_is_refused():
    given = optimizers.SGD(0.1)
    refused(lambda: gan().compile(given, given), "another object")
    used = optimizers.SGD(0.1)
    MultiTaskModel(make_encoder(TASKS)).compile(used)
    refused(lambda: gan().compile(used), "`optimizer` must be a new .*state of")
    refused(
        lambda: gan().compile("sgd", used), "`discriminator_optimizer` must be"
    )
    model = gan()
    model.compile(optimizers.SGD(0.1))
    # The same again is what people do to change another argument.
    model.compile(
        model.optimizer, model.discriminator_optimizer, run_eagerly=True
    )


def test_what_cannot_be_copied_has_to_be_given():
    excluding = optimizers.AdamW(1e-3)
    excluding.exclude_from_weight_decay(var_names=["bias"])
    refused(
        lambda: gan().compile(excluding),
        "`discriminator_optimizer` must be given.*excluded from its weight",
    )

    class Fixed(optimizers.SGD):
        def __init__(self):
            super().__init__(0.1)

    refused(lambda: gan().compile(Fixed()), "must be given.*TypeError")
    gan().compile(Fixed(), Fixed())
