"""The paper's method: an encoder kept from memorising its noisy labels."""

import keras
import tensorflow as tf
from keras import ops

from keras_noisyfer.losses import (
    discriminator_hinge_loss,
    generator_hinge_loss,
)
from keras_noisyfer.models.classifier import (
    MultiTaskClassifier,
    build_optimizer,
)
from keras_noisyfer.networks import Decoder, Discriminator
from keras_noisyfer.tasks import standardize_labels


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class JointDistributionGAN(MultiTaskClassifier):
    """Encoder, decoder and discriminator that match joint distributions.

    The encoder predicts the labels and the noise code of an image, the
    decoder makes an image from noisy labels and Gaussian noise, and the
    discriminator tells (image, prediction) from (decoded image, noisy
    labels). Encoder and decoder minimise, Eq. 9 of the paper,

    `sum categorical losses + gamma * sum continuous losses
    + lambda_joint * (mean D(x, G_Y(x)) - mean D(G_X(y), y))`

    and the discriminator the hinge loss, `discriminator_steps` times a step.
    The label streams enter the discriminator as raw outputs on the
    encoder's side and as one-hot vectors or values on the decoder's side.

    A missing label's stream holds the encoder's own prediction, without its
    gradient, on both sides, so that it tells the discriminator nothing.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        decoder: A `Decoder`; by default one with the encoder's tasks, image
            shape, noise code and width.
        discriminator: A `Discriminator`; likewise by default.
        lambda_joint: Weight of the joint-distribution loss, at least 0; the
            paper has 0.4 (CIFAR-10, AffectNet) and 1.0 (RAF).
        gamma: Weight of the continuous tasks' losses, at least 0.
        discriminator_steps: Updates of the discriminator a step, at least 1.
        warmup_epochs: Number of first epochs of plain training, without
            decoder and discriminator. They are counted over calls of `fit`
            and saved with the model.
        use_joint_score: Whether the joint score takes part.
        use_marginal_scores: Whether the marginal scores take part.
        use_decoder: Whether there is a decoder. Without one, the
            discriminator compares (image, prediction) with (image, Gaussian
            noise, noisy labels).
        score_weights: Optional dict of weights by score name (see
            `Discriminator.score_names`); 1 where not given. The loss is
            their weighted mean.
        seed: Seed of the noise; an integer or None.
        losses: See `MultiTaskClassifier`.
        consensus: `"mean"` or `"first"`; see `tasks.consensus`.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if an argument is out of its range, no score takes part,
            or the networks do not fit each other.

    Example:

    >>> tasks = [
    ...     CategoricalTask("expression", num_classes=7, annotators=3),
    ...     ContinuousTask("affect", dimensions=("valence", "arousal")),
    ... ]
    >>> encoder = Encoder(tasks, image_shape=(48, 48, 3), width=0.25)
    >>> model = JointDistributionGAN(encoder, lambda_joint=0.4)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, validation_data=clean_dataset, epochs=30)

    Reference:

    - [Zhang et al., 2021](https://arxiv.org/abs/2010.09849)
    """

    def __init__(
        self,
        encoder,
        decoder=None,
        discriminator=None,
        lambda_joint=0.4,
        gamma=1.0,
        discriminator_steps=2,
        warmup_epochs=0,
        use_joint_score=True,
        use_marginal_scores=True,
        use_decoder=True,
        score_weights=None,
        seed=None,
        losses=None,
        consensus="mean",
        **kwargs,
    ):
        super().__init__(
            encoder, gamma=gamma, losses=losses, consensus=consensus, **kwargs
        )
        _check_at_least("lambda_joint", lambda_joint, 0)
        _check_at_least("discriminator_steps", discriminator_steps, 1)
        _check_at_least("warmup_epochs", warmup_epochs, 0)
        if decoder is not None and not use_decoder:
            raise ValueError(
                "`decoder` must be None where `use_decoder` is False. "
                f"Received: {decoder}"
            )
        self.lambda_joint = lambda_joint
        self.discriminator_steps = discriminator_steps
        self.warmup_epochs = warmup_epochs
        self.use_joint_score = use_joint_score
        self.use_marginal_scores = use_marginal_scores
        self.use_decoder = use_decoder
        self.score_weights = dict(score_weights or {})
        self.seed = seed

        self.decoder = None
        if use_decoder:
            self.decoder = self._fit_network("decoder", decoder, Decoder)
        self.discriminator = self._fit_network(
            "discriminator", discriminator, Discriminator
        )
        self._normalized_weights = self._normalize_score_weights()
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.completed_epochs = self.add_weight(
            name="completed_epochs",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
        )
        self._adversarial = warmup_epochs == 0
        self.generator_joint_loss_tracker = keras.metrics.Mean(
            name="generator_joint_loss"
        )
        self.discriminator_loss_tracker = keras.metrics.Mean(
            name="discriminator_loss"
        )

    def _fit_network(self, argument, network, network_class):
        expected = {
            name: getattr(self.encoder, name)
            for name in ("tasks", "image_shape", "noise_code_size")
        }
        if network is None:
            return network_class(
                **expected,
                width=self.encoder.width,
                dtype=self.encoder.dtype_policy,
            )
        for name, value in expected.items():
            if getattr(network, name) != value:
                raise ValueError(
                    f"`{argument}` must have the encoder's {name}={value}. "
                    f"Received: {getattr(network, name)}"
                )
        return network

    def _normalize_score_weights(self):
        names = self.discriminator.score_names
        unknown = sorted(set(self.score_weights) - set(names))
        if unknown:
            raise ValueError(
                f"`score_weights` may only have the keys {list(names)}. "
                f"Received: keys={unknown}"
            )
        weights = []
        for name in names:
            used = (
                self.use_joint_score
                if name == "joint"
                else self.use_marginal_scores
            )
            weight = float(self.score_weights.get(name, 1.0))
            _check_at_least(f"score_weights['{name}']", weight, 0)
            weights.append(weight if used else 0.0)
        if sum(weights) == 0:
            raise ValueError(
                "`use_joint_score`, `use_marginal_scores` and "
                "`score_weights` must leave at least one score. Received: "
                f"{self.use_joint_score}, {self.use_marginal_scores}, "
                f"{self.score_weights}"
            )
        return [weight / sum(weights) for weight in weights]

    # === Training ===

    def compile(
        self,
        optimizer=None,
        discriminator_optimizer=None,
        jit_compile=False,
        run_eagerly=False,
        steps_per_execution=1,
    ):
        """Configures training.

        Args:
            optimizer: Optimizer of the encoder and the decoder. By default
                `FusedAdam` with learning rate 1e-4, as in the paper.
            discriminator_optimizer: Optimizer of the discriminator. By
                default a new one with the configuration of `optimizer`.
            jit_compile: Whether to compile the steps with XLA. Slower on a
                CPU.
            run_eagerly: Whether to run the steps eagerly.
            steps_per_execution: Number of batches a call of the compiled
                step runs.
        """
        super().compile(
            optimizer=optimizer,
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
        )
        if discriminator_optimizer is None:
            discriminator_optimizer = type(self.optimizer).from_config(
                self.optimizer.get_config()
            )
        self.discriminator_optimizer = keras.optimizers.get(
            discriminator_optimizer
        )
        build_optimizer(
            self.discriminator_optimizer,
            self.discriminator.trainable_variables,
        )

    def get_compile_config(self):
        config = super().get_compile_config()
        if config is not None:
            config["discriminator_optimizer"] = (
                keras.saving.serialize_keras_object(
                    self.discriminator_optimizer
                )
            )
        return config

    @property
    def generator_variables(self):
        """Variables that `optimizer` updates: of encoder and decoder."""
        variables = list(self.encoder.trainable_variables)
        if self.use_decoder:
            variables += self.decoder.trainable_variables
        return variables

    @property
    def metrics(self):
        return [
            *super().metrics,
            self.generator_joint_loss_tracker,
            self.discriminator_loss_tracker,
        ]

    def fit(self, x=None, callbacks=None, **kwargs):
        """Trains the model; the arguments are those of `keras.Model.fit`."""
        callbacks = keras.tree.flatten(callbacks or [])
        # First, so that the others save a model whose epoch is counted.
        callbacks.insert(0, _WarmUp())
        return super().fit(x, callbacks=callbacks, **kwargs)

    def make_train_function(self, force=False):
        # Which of the two steps runs is fixed when the step is traced.
        adversarial = int(self.completed_epochs) >= self.warmup_epochs
        force = force or adversarial != self._adversarial
        self._adversarial = adversarial
        return super().make_train_function(force)

    def train_step(self, data):
        """One step of the alternating updates (Algorithm 1 of the paper)."""
        if not self._adversarial:
            return super().train_step(data)
        images, labels = self.unpack_batch(data)
        variables = self.generator_variables
        # Watching only these leaves the image stream on real images, which
        # no generator variable reaches, out of the backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            outputs, encoded, decoded = self.make_tuples(images, labels)

            with tape.stop_recording():
                update_discriminator = self._make_discriminator_update()
                for _ in range(self.discriminator_steps):
                    discriminator_loss = update_discriminator(encoded, decoded)

            joint_loss = self.compute_generator_joint_loss(encoded, decoded)
            losses = self.compute_task_losses(labels, outputs)
            loss = (
                self.weigh_task_losses(losses) + self.lambda_joint * joint_loss
            )
        self.minimize(tape, loss, self.optimizer, variables)

        self.track(loss, losses, labels, self.predict_consensus(outputs))
        count = ops.shape(images)[0]
        self.generator_joint_loss_tracker.update_state(
            joint_loss, sample_weight=count
        )
        self.discriminator_loss_tracker.update_state(
            discriminator_loss, sample_weight=count
        )
        return self.get_metrics_result()

    def _make_discriminator_update(self):
        # As a function of its own the update is traced once for all its
        # repetitions. An optimizer cannot run there under a strategy.
        if self.run_eagerly or tf.distribute.has_strategy():
            return self._update_discriminator
        return tf.function(self._update_discriminator, autograph=False)

    def _update_discriminator(self, encoded, decoded):
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            loss = self.compute_discriminator_loss(encoded, decoded)
        self.minimize(tape, loss, self.discriminator_optimizer, variables)
        return loss

    # === Objective ===

    def make_tuples(
        self, images, labels, encoder_noise=None, decoder_noise=None,
        training=True,
    ):
        """Runs encoder and decoder once and makes the two tuples that the
        discriminator compares.

        Args:
            images: Shape `(batch_size, size, size, channels)`.
            labels: Standardized labels, a dict by task name.
            encoder_noise: Gaussian noise of the encoder's noise code, shape
                `(batch_size, noise_code_size)`; drawn if None.
            decoder_noise: The decoder's noise code, likewise.
            training: Whether the networks run in training mode.

        Returns:
            The encoder's raw `labels`, a dict by task name, and the tuples
            (image, noise code, labels) of the encoder and of the decoder,
            each a dict as `Discriminator` takes it.
        """
        outputs = self.encoder(images, training=training)
        mean = outputs["mean"]
        if encoder_noise is None:
            encoder_noise = self._draw_noise(ops.shape(mean))
        if decoder_noise is None:
            decoder_noise = self._draw_noise(ops.shape(mean))
        noise_code = mean + encoder_noise * ops.exp(
            0.5 * outputs["log_variance"]
        )

        predicted, noisy, decoder_labels = {}, {}, {}
        for task in self.tasks:
            name = task.name
            present = task.present(labels[name])
            given = task.encode(labels[name])
            prediction = outputs["labels"][name]
            detached = ops.stop_gradient(prediction)
            predicted[name] = ops.where(present, prediction, detached)
            noisy[name] = ops.where(present, given, detached)
            decoder_labels[name] = ops.where(
                present, given, task.activate(detached)
            )

        decoded_images = images
        if self.use_decoder:
            decoded_images = self.decoder(
                {"noise_code": decoder_noise, "labels": decoder_labels},
                training=training,
            )
        encoded = {
            "image": images,
            "noise_code": noise_code,
            "labels": predicted,
        }
        decoded = {
            "image": decoded_images,
            "noise_code": decoder_noise,
            "labels": noisy,
        }
        return outputs["labels"], encoded, decoded

    def compute_discriminator_loss(self, encoded, decoded, training=True):
        """Hinge loss of the discriminator on the two tuples, a scalar."""
        images = encoded["image"]
        if self.use_decoder:
            # Both tuples need the same passes: one batch for both.
            images = ops.concatenate([images, decoded["image"]])
        features = self.discriminator.image_stream(images, training=training)
        if not self.use_decoder:
            features = ops.concatenate([features, features])
        scores = self._score(features, encoded, decoded, training)
        return discriminator_hinge_loss(*scores, self._weights())

    def compute_generator_joint_loss(self, encoded, decoded, training=True):
        """Joint-distribution loss of the generators on the two tuples, a
        scalar, without `lambda_joint`."""
        stream = self.discriminator.image_stream
        features = stream(encoded["image"], training=training)
        decoded_features = features
        if self.use_decoder:
            # Apart from the real images, which need no backward pass.
            decoded_features = stream(decoded["image"], training=training)
        features = ops.concatenate([features, decoded_features])
        scores = self._score(features, encoded, decoded, training)
        return generator_hinge_loss(*scores, self._weights())

    def _score(self, features, encoded, decoded, training):
        """Scores of the encoder's and of the decoder's tuple."""
        scores = self.discriminator.score_head(
            {
                "image_features": features,
                "noise_code": ops.concatenate(
                    [encoded["noise_code"], decoded["noise_code"]]
                ),
                "labels": {
                    task.name: ops.concatenate(
                        [
                            encoded["labels"][task.name],
                            decoded["labels"][task.name],
                        ]
                    )
                    for task in self.tasks
                },
            },
            training=training,
        )
        return ops.split(scores, 2)

    def _weights(self):
        return ops.convert_to_tensor(self._normalized_weights, "float32")

    def _draw_noise(self, shape):
        return keras.random.normal(shape, seed=self.seed_generator)

    # === Generation ===

    def generate(self, labels, seed=None, batch_size=128):
        """Images that the decoder makes for given labels.

        Args:
            labels: Dict by task name of complete labels: class ids of shape
                `(n,)` or `(n, annotators)`; values of shape
                `(n, dimensions)` or `(n, annotators, dimensions)`. A label
                without annotator axis counts for all annotators.
            seed: Seed of the noise code; the model's generator if None.
            batch_size: Number of images decoded at once.

        Returns:
            A float32 array of shape `(n, size, size, channels)`, in [-1, 1].

        Raises:
            ValueError: if the model has no decoder, or a label is missing,
                unknown or out of its range.
        """
        if not self.use_decoder:
            raise ValueError(
                "`generate` needs a decoder. Received: a model with "
                "`use_decoder=False`"
            )
        encoded = self._encode_complete_labels(labels)
        count = encoded[self.tasks[0].name].shape[0]
        noise = keras.random.normal(
            (count, self.encoder.noise_code_size),
            seed=self.seed_generator if seed is None else seed,
        )
        return self.decoder.predict(
            {"noise_code": noise, "labels": encoded},
            batch_size=batch_size,
            verbose=0,
        )

    def _encode_complete_labels(self, labels):
        labels = standardize_labels(self.tasks, labels, evaluation=True)
        counts = {name: each.shape[0] for name, each in labels.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(
                "`labels` must have as many entries for every task. "
                f"Received: {counts}"
            )
        encoded = {}
        for task in self.tasks:
            given = labels[task.name]
            task.check_values(given, allow_missing=False)
            repeats = task.annotators // given.shape[1]
            encoded[task.name] = ops.repeat(task.encode(given), repeats, 1)
        return encoded

    # === Saving ===

    def get_config(self):
        config = super().get_config()
        config.update(
            decoder=self.decoder,
            discriminator=self.discriminator,
            lambda_joint=self.lambda_joint,
            discriminator_steps=self.discriminator_steps,
            warmup_epochs=self.warmup_epochs,
            use_joint_score=self.use_joint_score,
            use_marginal_scores=self.use_marginal_scores,
            use_decoder=self.use_decoder,
            score_weights=self.score_weights,
            seed=self.seed,
        )
        return config


class _WarmUp(keras.callbacks.Callback):
    """Counts epochs and changes the train step when the warm-up is over."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.make_train_function()

    def on_epoch_end(self, epoch, logs=None):
        self.model.completed_epochs.assign_add(1)


def _check_at_least(argument, value, minimum):
    if value < minimum:
        raise ValueError(
            f"`{argument}` must be at least {minimum}. Received: {value}"
        )
