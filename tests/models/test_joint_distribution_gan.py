import keras
import numpy as np
import pytest
import tensorflow as tf
from common import in_smoke
from small_models import (
    CASES,
    changed,
    compiled,
    make_data,
    make_dataset,
    make_encoder,
    values,
)

from keras_noisyfer.batches import Batch
from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask


@pytest.mark.parametrize(
    "case", [in_smoke("expression_and_affect"), "single_task"]
)
def test_fit_evaluate_predict_generate(case):
    tasks = CASES[case]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), seed=1),
        run_eagerly=False,
    )
    history = model.fit(
        make_dataset(tasks, count=4, missing=True),
        validation_data=make_dataset(tasks, clean=True),
        epochs=2,
        verbose=0,
    ).history
    assert all(np.isfinite(each).all() for each in history.values())
    names = {"loss", "generator_joint_loss", "discriminator_loss"}
    names |= {f"{task.name}_loss" for task in tasks}
    assert names <= set(history)
    assert "val_loss" in history and "val_discriminator_loss" not in history

    images, labels = make_data(tasks, count=3, clean=True)
    predictions = model.predict(images, verbose=0)
    generated = model.generate(labels, seed=1)
    assert generated.shape == (3, 32, 32, 3)
    assert np.abs(generated).max() <= 1.0
    np.testing.assert_array_equal(generated, model.generate(labels, seed=1))
    assert not np.array_equal(generated, model.generate(labels, seed=2))
    for task in tasks:
        assert predictions[task.name].shape == (3, task.num_outputs)
        if isinstance(task, CategoricalTask):
            np.testing.assert_allclose(
                predictions[task.name].sum(axis=1), 1.0, rtol=1e-5
            )
        else:
            assert np.abs(predictions[task.name]).max() <= 1.0


def test_evaluate_reports_the_consensus():
    tasks = CASES["expression_and_affect"]
    model = compiled(MultiTaskModel(make_encoder(tasks)), run_eagerly=False)
    images, labels = make_data(tasks, count=10, clean=True)
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    results = model.evaluate(data.batch(4), return_dict=True, verbose=0)
    predictions = model.predict(images, verbose=0)
    accuracy = np.mean(
        predictions["expression"].argmax(axis=1) == labels["expression"]
    )
    mse = np.mean((predictions["affect"] - labels["affect"]) ** 2)
    assert results["expression_accuracy"] == pytest.approx(accuracy)
    assert results["affect_mse"] == pytest.approx(mse, rel=1e-5)
    probability = predictions["expression"][np.arange(10), labels["expression"]]
    assert results["expression_loss"] == pytest.approx(
        -np.log(probability).mean(), rel=1e-4
    )
    # Noisy labels may take the place of clean ones.
    noisy = make_dataset(tasks, missing=True)
    assert model.evaluate(noisy, return_dict=True, verbose=0)["loss"] > 0


# === The step ===


def test_step_updates_what_it_should():
    tasks = CASES["expression_and_affect"]
    encoder = make_encoder(tasks, batch_normalization=True)
    model = compiled(JointDistributionGAN(encoder, discriminator_steps=3))
    before = values(model.variables)
    model.train_step(next(iter(make_dataset(tasks))))
    moved = dict(
        zip(
            (each.path for each in model.variables),
            changed(before, values(model.variables)),
            strict=True,
        )
    )
    for network in (model.encoder, model.decoder, model.discriminator):
        paths = [each.path for each in network.trainable_variables]
        assert np.mean([moved[path] for path in paths]) > 0.9
    assert int(model.optimizer.iterations) == 1
    assert int(model.discriminator_optimizer.iterations) == 3


@pytest.mark.slow
@pytest.mark.smoke
def test_loss_scaling_does_not_change_the_step():
    tasks = CASES["expression_and_affect"]
    batch = next(iter(make_dataset(tasks)))
    weights = []
    for wrap in (
        keras.optimizers.LossScaleOptimizer,
        lambda optimizer: optimizer,
    ):
        keras.utils.set_random_seed(3)
        model = JointDistributionGAN(make_encoder(tasks), seed=0)
        before = values(model.trainable_variables)
        model.compile(wrap(keras.optimizers.SGD(0.1)), run_eagerly=True)
        model.train_step(batch)
        weights.append(values(model.trainable_variables))
    assert np.mean(changed(before, weights[0])) > 0.8
    for scaled, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.smoke
def test_generators_run_forward_once_a_step():
    tasks = CASES["three_label_sets"]
    encoder = make_encoder(tasks, batch_normalization=True)
    model = compiled(JointDistributionGAN(encoder))
    batch = next(iter(make_dataset(tasks)))
    layer = encoder.get_layer("group_1_convolution_1_normalization")
    inputs = encoder.get_layer("group_1_convolution_1")(batch[0])
    expected = 0.1 * np.mean(inputs, axis=(0, 1, 2))
    model.train_step(batch)
    # One update of momentum 0.9 from zero, not two.
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.smoke
def test_no_backward_pass_into_image_stream_for_real_images():
    tasks = CASES["three_label_sets"]
    model = JointDistributionGAN(make_encoder(tasks), use_decoder=False)
    model.compile()
    images, labels = next(iter(make_dataset(tasks)))
    calls = []

    @tf.custom_gradient
    def spy(features):
        def backward(upstream):
            calls.append(upstream.shape)
            return upstream

        return tf.identity(features), backward

    stream = model.discriminator.image_stream
    model.discriminator.image_stream = lambda x, training: spy(
        stream(x, training=training)
    )
    model.run_eagerly = True
    model.train_step((images, labels))
    # Two discriminator updates; none from the generators' update.
    assert len(calls) == model.discriminator_steps


def test_losses_fit_the_formula():
    tasks = CASES["expression_and_affect"]
    model = JointDistributionGAN(
        make_encoder(tasks), lambda_joint=0.7, gamma=2.0
    )
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    logs = model.train_step(next(iter(make_dataset(tasks))))
    logs = {name: float(value) for name, value in logs.items()}
    assert logs["loss"] == pytest.approx(
        logs["expression_loss"]
        + 2.0 * logs["affect_loss"]
        + 0.7 * logs["generator_joint_loss"],
        rel=1e-5,
    )


@pytest.mark.parametrize("use_decoder", [True, in_smoke(False)])
def test_gradients_do_not_depend_on_missing_labels(use_decoder):
    """What stands where a label is missing changes nothing at all."""
    tasks = [
        CategoricalTask("expression", 4, annotators=2),
        ContinuousTask("affect", ("valence", "arousal"), annotators=2),
    ]
    images, labels = make_data(tasks)
    labels["expression"][:3, 1] = -1
    labels["affect"][2:5, 0, 1] = np.nan

    def gradients(fill):
        keras.utils.set_random_seed(3)
        model = JointDistributionGAN(
            make_encoder(tasks), use_decoder=use_decoder, seed=3
        )
        encode = {task.name: type(task).encode for task in tasks}

        def filled(self, given):
            return tf.where(
                self.present(given), encode[self.name](self, given), fill
            )

        standardized = {k: tf.constant(v) for k, v in labels.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CategoricalTask, "encode", filled)
            patch.setattr(ContinuousTask, "encode", filled)
            generator = model.trained_variables
            discriminator = model.discriminator.trainable_variables
            with tf.GradientTape(persistent=True) as tape:
                outputs, encoded, decoded = model.make_tuples(
                    Batch(tf.constant(images), standardized)
                )
                losses = model.compute_task_losses(
                    standardized, outputs["labels"]
                )
                joint, _ = model.generator_joint_loss(encoded, decoded)
                adversary = model.discriminator_loss(encoded, decoded)
                loss = model.weigh_task_losses(losses) + joint
        return [
            np.array(tf.convert_to_tensor(each))
            for each in tape.gradient(
                loss, generator, unconnected_gradients="zero"
            )
            + tape.gradient(
                adversary, discriminator, unconnected_gradients="zero"
            )
        ]

    for first, second in zip(gradients(0.0), gradients(17.0), strict=True):
        np.testing.assert_array_equal(first, second)


def test_missing_label_gives_its_stream_nothing_to_tell():
    tasks = [CategoricalTask("expression", 4)]
    model = JointDistributionGAN(make_encoder(tasks))
    images, labels = make_data(tasks)
    labels["expression"][:] = -1
    _, encoded, decoded = model.make_tuples(Batch(tf.constant(images), labels))
    np.testing.assert_array_equal(
        encoded["labels"]["expression"], decoded["labels"]["expression"]
    )


def test_last_batch_of_one_is_evaluated():
    tasks = CASES["expression_and_affect"]
    model = compiled(MultiTaskModel(make_encoder(tasks)))
    images, labels = make_data(tasks, count=5, clean=True)
    results = model.evaluate(
        images, labels, batch_size=4, return_dict=True, verbose=0
    )
    assert np.isfinite(results["affect_ccc"])


@pytest.mark.slow
def test_traced_step_equals_eager_step():
    tasks = CASES["expression_and_affect"]

    def weights(run_eagerly):
        keras.utils.set_random_seed(5)
        model = JointDistributionGAN(make_encoder(tasks), seed=5)
        compiled(model, run_eagerly).fit(make_dataset(tasks), verbose=0)
        return values(model.trainable_variables)

    for first, second in zip(weights(True), weights(False), strict=True):
        np.testing.assert_allclose(first, second, atol=2e-4)


def test_ablations_weigh_the_scores():
    tasks = CASES["expression_and_affect"]
    encoder = make_encoder(tasks)

    def weights(**kwargs):
        return JointDistributionGAN(encoder, **kwargs).score_shares

    np.testing.assert_allclose(weights(), [1 / 6] * 6)
    np.testing.assert_allclose(weights(use_joint_score=False), [0.2] * 5 + [0])
    np.testing.assert_allclose(
        weights(use_marginal_scores=False), [0] * 5 + [1]
    )
    np.testing.assert_allclose(
        weights(score_weights={"image": 0, "joint": 4}),
        [0, 1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 2],
    )


def test_without_decoder():
    tasks = CASES["three_label_sets"]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), use_decoder=False)
    )
    assert model.decoder is None
    images, labels = make_data(tasks)
    _, encoded, decoded = model.make_tuples(Batch(tf.constant(images), labels))
    assert set(encoded) - set(decoded) == {"image"}
    history = model.fit(make_dataset(tasks, count=4), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    with pytest.raises(ValueError, match="`generate` needs a decoder"):
        model.generate({"object": np.array([0])})
