import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.models import JointDistributionGAN, MultiTaskClassifier
from keras_noisyfer.networks import Decoder, Discriminator, Encoder
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CASES = {
    "three_label_sets": [CategoricalTask("object", 4, annotators=3)],
    "expression_and_affect": [
        CategoricalTask("expression", 7, annotators=2),
        ContinuousTask("affect", ("valence", "arousal")),
    ],
    "single_task": [ContinuousTask("pain", ("level",))],
}
SHAPE = {"width": 1 / 16, "noise_code_size": 5}


def make_encoder(tasks, **kwargs):
    return Encoder(tasks, (32, 32, 3), dropout=0.0, **SHAPE, **kwargs)


def make_data(tasks, count=8, clean=False, missing=False):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    labels = {}
    for task in tasks:
        shape = (count,) if clean else (count, task.annotators)
        if isinstance(task, CategoricalTask):
            labels[task.name] = rng.integers(
                -1 if missing else 0, task.num_classes, shape
            ).astype("int32")
        else:
            values = rng.uniform(-1, 1, (*shape, task.width))
            if missing:
                values[0] = np.nan
            labels[task.name] = values.astype("float32")
    return images, labels


def make_dataset(tasks, batch_size=4, **kwargs):
    data = tf.data.Dataset.from_tensor_slices(make_data(tasks, **kwargs))
    return data.batch(batch_size, drop_remainder=True)


def compiled(model, run_eagerly=True):
    # Tracing the step takes longer than a few eager ones.
    optimizers = [keras.optimizers.Adam(1e-3)]
    if isinstance(model, JointDistributionGAN):
        optimizers.append(keras.optimizers.Adam(2e-3))
    model.compile(*optimizers, run_eagerly=run_eagerly)
    return model


def values(variables):
    return [np.array(each.value) for each in variables]


def changed(before, after):
    pairs = zip(before, after, strict=True)
    return [not np.array_equal(first, second) for first, second in pairs]


# === fit, evaluate, predict, generate ===


@pytest.mark.parametrize("case", list(CASES))
def test_fit_evaluate_predict_generate(case):
    tasks = CASES[case]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), seed=1),
        run_eagerly=case != "expression_and_affect",
    )
    history = model.fit(
        make_dataset(tasks, missing=True),
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
        assert predictions[task.name].shape == (3, task.width)
        if isinstance(task, CategoricalTask):
            np.testing.assert_allclose(
                predictions[task.name].sum(axis=1), 1.0, rtol=1e-5
            )
        else:
            assert np.abs(predictions[task.name]).max() <= 1.0


def test_evaluate_reports_the_consensus():
    tasks = CASES["expression_and_affect"]
    model = compiled(
        MultiTaskClassifier(make_encoder(tasks)), run_eagerly=False
    )
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


@pytest.mark.parametrize("use_decoder", [True, False])
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
            generator = model.generator_variables
            discriminator = model.discriminator.trainable_variables
            with tf.GradientTape(persistent=True) as tape:
                outputs, encoded, decoded = model.make_tuples(
                    tf.constant(images), standardized
                )
                losses = model.compute_task_losses(standardized, outputs)
                joint = model.compute_generator_joint_loss(encoded, decoded)
                adversary = model.compute_discriminator_loss(encoded, decoded)
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
    _, encoded, decoded = model.make_tuples(
        tf.constant(images), {"expression": labels["expression"]}
    )
    np.testing.assert_array_equal(
        encoded["labels"]["expression"], decoded["labels"]["expression"]
    )


# === Warm-up ===


def test_warmup_trains_plainly_then_adversarially():
    tasks = CASES["three_label_sets"]
    data = make_dataset(tasks)
    model = compiled(JointDistributionGAN(make_encoder(tasks), warmup_epochs=2))
    before = values(model.discriminator.trainable_variables)
    history = model.fit(data, epochs=2, verbose=0).history
    after = values(model.discriminator.trainable_variables)
    assert not any(changed(before, after))
    assert history["discriminator_loss"] == [0.0, 0.0]
    history = model.fit(data, epochs=1, verbose=0).history
    assert history["discriminator_loss"][0] > 0.0
    assert int(model.completed_epochs) == 3


def test_warmup_ends_within_one_fit():
    tasks = CASES["three_label_sets"]
    model = compiled(
        JointDistributionGAN(make_encoder(tasks), warmup_epochs=1),
        run_eagerly=False,
    )
    history = model.fit(make_dataset(tasks), epochs=3, verbose=0).history
    losses = history["discriminator_loss"]
    assert losses[0] == 0.0 and losses[1] > 0.0 and losses[2] > 0.0


def test_warmup_equals_plain_training():
    tasks = CASES["expression_and_affect"]

    def weights(model_class, **kwargs):
        keras.utils.set_random_seed(5)
        model = compiled(model_class(make_encoder(tasks), **kwargs))
        model.fit(make_dataset(tasks), epochs=2, verbose=0)
        return values(model.encoder.trainable_variables)

    plain = weights(MultiTaskClassifier)
    warm = weights(JointDistributionGAN, warmup_epochs=2)
    for first, second in zip(plain, warm, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_traced_step_equals_eager_step():
    tasks = CASES["expression_and_affect"]

    def weights(run_eagerly):
        keras.utils.set_random_seed(5)
        model = JointDistributionGAN(make_encoder(tasks), seed=5)
        compiled(model, run_eagerly).fit(make_dataset(tasks), verbose=0)
        return values(model.trainable_variables)

    for first, second in zip(weights(True), weights(False), strict=True):
        np.testing.assert_allclose(first, second, atol=2e-4)


# === Saving ===


def test_saving_restores_everything(tmp_path):
    tasks = CASES["expression_and_affect"]
    data = make_dataset(tasks)
    model = compiled(
        JointDistributionGAN(
            make_encoder(tasks),
            lambda_joint=0.3,
            warmup_epochs=1,
            score_weights={"joint": 2.0},
            consensus="first",
        )
    )
    model.fit(data, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert type(loaded) is JointDistributionGAN
    assert loaded.lambda_joint == 0.3 and loaded.consensus == "first"
    assert loaded.score_weights == {"joint": 2.0}
    assert int(loaded.completed_epochs) == 2
    for first, second in (
        (model.variables, loaded.variables),
        (model.optimizer.variables, loaded.optimizer.variables),
        (
            model.discriminator_optimizer.variables,
            loaded.discriminator_optimizer.variables,
        ),
    ):
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            if "seed_generator" not in a.path:
                np.testing.assert_array_equal(a, b)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-3)
    assert float(loaded.discriminator_optimizer.learning_rate) == pytest.approx(
        2e-3
    )
    # The warm-up is over, and does not begin again.
    history = loaded.fit(data, epochs=1, verbose=0).history
    assert history["discriminator_loss"][0] > 0.0


def test_plain_model_saves(tmp_path):
    tasks = CASES["expression_and_affect"]
    model = compiled(MultiTaskClassifier(make_encoder(tasks), gamma=0.5))
    model.fit(make_dataset(tasks), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.gamma == 0.5 and int(loaded.optimizer.iterations) == 2
    images, _ = make_data(tasks)
    np.testing.assert_array_equal(
        model.predict(images, verbose=0)["affect"],
        loaded.predict(images, verbose=0)["affect"],
    )


# === Ablations and score weights ===


def test_ablations_weigh_the_scores():
    tasks = CASES["expression_and_affect"]
    encoder = make_encoder(tasks)

    def weights(**kwargs):
        return JointDistributionGAN(encoder, **kwargs)._normalized_weights

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
    _, encoded, decoded = model.make_tuples(tf.constant(images), labels)
    np.testing.assert_array_equal(encoded["image"], decoded["image"])
    history = model.fit(make_dataset(tasks), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    with pytest.raises(ValueError, match="`generate` needs a decoder"):
        model.generate({"object": np.array([0])})


# === Bad input ===


def test_rejects_arguments():
    tasks = CASES["three_label_sets"]
    encoder = make_encoder(tasks)

    def fails(message, **kwargs):
        with pytest.raises(ValueError, match=message):
            JointDistributionGAN(encoder, **kwargs)

    fails("`lambda_joint` must be at least 0.*-1", lambda_joint=-1)
    fails("`gamma` must be at least 0", gamma=-0.1)
    fails("`discriminator_steps` must be at least 1", discriminator_steps=0)
    fails("`warmup_epochs` must be at least 0", warmup_epochs=-1)
    fails("`warmup_epochs`.*an integer.*1.5", warmup_epochs=1.5)
    fails("`lambda_joint`.*finite number.*nan", lambda_joint=float("nan"))
    fails("`losses` must be a dict", losses={"object": "mse"})
    fails("`score_weights` must be a dict", score_weights=[1])
    fails("`discriminator` must be a Discriminator", discriminator=5)
    with pytest.raises(ValueError, match="`encoder` must be an Encoder"):
        JointDistributionGAN(5)
    fails("`consensus` must be", consensus="median")
    fails("`score_weights` may only", score_weights={"joy": 1})
    fails("`losses` may only", losses={"joy": abs})
    fails(
        "must leave at least one score",
        use_joint_score=False,
        use_marginal_scores=False,
    )
    other = CASES["single_task"]
    fails(
        "`decoder` must have the encoder's tasks",
        decoder=Decoder(other, (32, 32, 3), **SHAPE),
    )
    fails(
        "`discriminator` must have the encoder's noise_code_size",
        discriminator=Discriminator(tasks, (32, 32, 3), width=1 / 16),
    )
    fails(
        "`decoder` must be None",
        decoder=Decoder(tasks, (32, 32, 3), **SHAPE),
        use_decoder=False,
    )


@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :16], y), r"shape \(batch_size, 32, 32, 3\)"),
        (lambda x, y: (x.astype("uint8"), y), "Images must be floating"),
        (lambda x, y: (x * 255, y), r"Images must be in \[-1, 1\]. Recei.*2"),
        (lambda x, y: (x, {"mood": y["pain"]}), "exactly the keys"),
        (lambda x, y: (x, {"pain": y["pain"][..., [0, 0]]}), "must have shape"),
        (lambda x, y: (x, {"pain": y["pain"] + 3}), r"task 'pain'.*ved: [2-4]"),
        (lambda x, y: (x[:1], {"pain": y["pain"][:1]}), "'pain'.*Received: 1$"),
        (lambda x, y: (x, y, np.ones(8)), "sample weights"),
    ],
)
def test_rejects_batches(change, message, run_eagerly):
    tasks = CASES["single_task"]
    model = compiled(MultiTaskClassifier(make_encoder(tasks)), run_eagerly)
    batch = change(*make_data(tasks))
    data = tf.data.Dataset.from_tensor_slices(batch).batch(8)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(data, verbose=0)
    assert "\n" not in str(error.value)


def test_rejects_class_ids_and_images_to_predict():
    tasks = CASES["three_label_sets"]
    model = compiled(
        MultiTaskClassifier(make_encoder(tasks)), run_eagerly=False
    )
    images, labels = make_data(tasks)
    labels["object"][2, 1] = 9
    with pytest.raises(ValueError, match="task 'object'.*Received: 9$"):
        model.evaluate(images, labels, verbose=0)
    with pytest.raises(ValueError, match="Images must be in .* Received: "):
        model.predict(images * 255, verbose=0)
    with pytest.raises(ValueError, match="Images must be floating"):
        model.predict(images.astype("uint8"), verbose=0)


def test_last_batch_of_one_is_evaluated():
    tasks = CASES["expression_and_affect"]
    model = compiled(MultiTaskClassifier(make_encoder(tasks)))
    images, labels = make_data(tasks, count=5, clean=True)
    results = model.evaluate(
        images, labels, batch_size=4, return_dict=True, verbose=0
    )
    assert np.isfinite(results["affect_ccc"])


def test_is_built_and_made_again_from_its_config(tmp_path):
    tasks = CASES["three_label_sets"]
    model = compiled(JointDistributionGAN(make_encoder(tasks)))
    assert model.count_params() > model.encoder.count_params()
    again = JointDistributionGAN.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    encoder = Encoder.from_config(model.encoder.get_config())
    assert encoder.tasks == model.tasks
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    model.fit(make_dataset(tasks), callbacks=[backup], verbose=0)
    images, labels = make_data(tasks)
    model.fit(images, labels, batch_size=4, verbose=0)
    assert int(model.completed_epochs) == 2


def test_generate_rejects_labels():
    tasks = CASES["expression_and_affect"]
    model = JointDistributionGAN(make_encoder(tasks))
    affect = np.zeros((2, 2), "float32")
    for labels, message in (
        ({"expression": np.array([0, 7]), "affect": affect}, "Received: 7"),
        ({"expression": np.array([0, -1]), "affect": affect}, "Received: -1"),
        ({"expression": np.array([0]), "affect": affect}, "as many entries"),
        ({"expression": np.array([0, 1])}, "exactly the keys"),
    ):
        with pytest.raises(ValueError, match=message):
            model.generate(labels)
