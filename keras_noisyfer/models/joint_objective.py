"""Networks and objective of the joint-distribution GAN, on any backend."""

import keras
from keras import ops

from keras_noisyfer.arguments import AUTO, check_number
from keras_noisyfer.distribution import draw_noise
from keras_noisyfer.labels import encode_complete_labels, mean_weights
from keras_noisyfer.losses import (
    discriminator_hinge_loss,
    generator_hinge_loss,
)
from keras_noisyfer.models.balance import (
    GAMMA_BOUNDS,
    JOINT_SHARE,
    LAMBDA_BOUNDS,
    GradientRatio,
    joint_gradient,
    task_gradients,
)
from keras_noisyfer.models.classifier import MultiTaskClassifier
from keras_noisyfer.models.joint_networks import (
    fit_network,
    normalize_score_weights,
)
from keras_noisyfer.models.steps import keep_values
from keras_noisyfer.networks import Decoder, Discriminator


class JointDistributionObjective(MultiTaskClassifier):
    """What `JointDistributionGAN` minimises, without how it is minimised.

    See `JointDistributionGAN` for the arguments.
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
        for name, value in (("lambda_joint", lambda_joint), ("gamma", gamma)):
            if isinstance(value, str) and value != AUTO:
                raise ValueError(
                    f"`{name}` must be a number, at least 0, or '{AUTO}'. "
                    f"Received: {value!r}"
                )
        super().__init__(
            encoder,
            gamma=1.0 if gamma == AUTO else gamma,
            losses=losses,
            consensus=consensus,
            **kwargs,
        )
        if lambda_joint != AUTO:
            check_number("lambda_joint", lambda_joint, minimum=0)
        check_number(
            "discriminator_steps", discriminator_steps, minimum=1, integer=True
        )
        check_number("warmup_epochs", warmup_epochs, minimum=0, integer=True)
        if decoder is not None and not use_decoder:
            raise ValueError(
                "`decoder` must be None where `use_decoder` is False. "
                f"Received: {decoder}"
            )
        self.gamma = gamma
        self.gamma_ratio = self.lambda_ratio = None
        if gamma == AUTO:
            if len({type(task) for task in self.tasks}) < 2:
                raise ValueError(
                    "`gamma` may be 'auto' only with tasks of both kinds. "
                    f"Received: {self.tasks}"
                )
            self.gamma_ratio = GradientRatio(GAMMA_BOUNDS, name="gamma")
        if lambda_joint == AUTO:
            self.lambda_ratio = GradientRatio(
                LAMBDA_BOUNDS, JOINT_SHARE, name="lambda_joint"
            )
        self.lambda_joint = lambda_joint
        self.discriminator_steps = discriminator_steps
        self.warmup_epochs = warmup_epochs
        self.use_joint_score = use_joint_score
        self.use_marginal_scores = use_marginal_scores
        self.use_decoder = use_decoder
        self.score_weights = {} if score_weights is None else score_weights
        self.seed = seed

        self.decoder = None
        if use_decoder:
            self.decoder = fit_network("decoder", decoder, Decoder, encoder)
        self.discriminator = fit_network(
            "discriminator", discriminator, Discriminator, encoder
        )
        self._normalized_weights = normalize_score_weights(
            self.discriminator.score_names,
            self.score_weights,
            use_joint_score,
            use_marginal_scores,
        )
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.generator_joint_loss_tracker = keras.metrics.Mean(
            name="generator_joint_loss"
        )
        self.discriminator_loss_tracker = keras.metrics.Mean(
            name="discriminator_loss"
        )

    # === Objective ===

    def make_tuples(
        self,
        images,
        labels,
        encoder_noise=None,
        decoder_noise=None,
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
            The encoder's outputs, and the tuples (image, noise code, labels)
            of the encoder and of the decoder, each a dict as `Discriminator`
            takes it.
        """
        outputs = self.encoder(images, training=training)
        mean = outputs["mean"]
        if encoder_noise is None:
            encoder_noise = draw_noise(ops.shape(mean), self.seed_generator)
        if decoder_noise is None:
            decoder_noise = draw_noise(ops.shape(mean), self.seed_generator)
        noise_code = mean + encoder_noise * ops.exp(
            0.5 * outputs["log_variance"]
        )

        noisy, decoder_labels = {}, {}
        for task in self.tasks:
            name = task.name
            present = task.present(labels[name])
            given = task.encode(labels[name])
            detached = ops.stop_gradient(outputs["labels"][name])
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
            "labels": self.label_outputs(labels, outputs["labels"]),
        }
        decoded = {
            "image": decoded_images,
            "noise_code": decoder_noise,
            "labels": noisy,
        }
        return outputs, encoded, decoded

    def label_outputs(self, labels, raw):
        """The label streams of the encoder's tuple: its raw outputs, without
        gradient where the label is missing."""
        return {
            task.name: ops.where(
                task.present(labels[task.name]),
                raw[task.name],
                ops.stop_gradient(raw[task.name]),
            )
            for task in self.tasks
        }

    def compute_discriminator_loss(
        self, encoded, decoded, training=True, sample_weight=None
    ):
        """Hinge loss of the discriminator on the two tuples, a scalar."""
        images = encoded["image"]
        if self.use_decoder:
            # Both tuples need the same passes: one batch for both.
            images = ops.concatenate([images, decoded["image"]])
        features = self.discriminator.image_stream(images, training=training)
        if not self.use_decoder:
            features = ops.concatenate([features, features])
        scores = self._score(features, encoded, decoded, training)
        return discriminator_hinge_loss(
            *scores, self.score_vector, mean_weights(sample_weight)
        )

    def compute_generator_joint_loss(self, encoded, decoded, training=True):
        """Joint-distribution loss of the generators on the two tuples, a
        scalar, without `lambda_joint`."""
        return self._compute_joint_loss(encoded, decoded, training)[0]

    def _compute_joint_loss(
        self, encoded, decoded, training=True, sample_weight=None
    ):
        """The loss, and the features of the real images."""
        stream = self.discriminator.image_stream
        if self.use_decoder:
            decoded_features = stream(decoded["image"], training=training)
            # Apart from the decoded images, since real ones need no backward
            # pass, and with the spectral norms that those have just updated.
            features = stream(encoded["image"], training=False)
        else:
            features = stream(encoded["image"], training=training)
            decoded_features = features
        both = ops.concatenate([features, decoded_features])
        scores = self._score(both, encoded, decoded, training)
        loss = generator_hinge_loss(
            *scores, self.score_vector, mean_weights(sample_weight)
        )
        return loss, features

    def compute_training_losses(self, data):
        images, labels, sample_weight = self.unpack_batch(data)
        outputs = self.encoder(images, training=True)
        # In the warm-up there is no joint loss to weigh.
        if self.gamma_ratio:
            self._balance_tasks(labels, outputs, sample_weight)
        return [self.compute_tracked_loss(labels, outputs, sample_weight)]

    def compute_generator_loss(
        self, labels, outputs, encoded, decoded, sample_weight=None
    ):
        """What encoder and decoder minimise; updates the metrics and the
        automatic weights.

        Args:
            labels: Standardized labels, a dict by task name.
            outputs: The encoder's outputs.
            encoded: Tuple of the encoder.
            decoded: Tuple of the decoder.
            sample_weight: Dict by task name of the images' weights, or None.

        Returns:
            A scalar.
        """
        joint_loss, features = self._compute_joint_loss(
            encoded, decoded, sample_weight=sample_weight
        )
        gradients = self._balance_tasks(labels, outputs, sample_weight)
        weight = self.lambda_joint
        if self.lambda_ratio:
            categorical, continuous = gradients
            self.lambda_ratio.update(
                categorical + self.gamma_value * continuous,
                joint_gradient(
                    self, labels, outputs, encoded, features, sample_weight
                ),
            )
            weight = self.lambda_ratio.value
        self.generator_joint_loss_tracker.update_state(
            joint_loss,
            sample_weight=self.batch_weight(encoded["image"], sample_weight),
        )
        return self.compute_tracked_loss(
            labels, outputs, sample_weight, weight * joint_loss
        )

    def _balance_tasks(self, labels, outputs, sample_weight):
        """Updates an automatic gamma; returns the tasks' gradients if a
        weight is automatic."""
        if not self.gamma_ratio and not self.lambda_ratio:
            return None
        gradients = task_gradients(self, labels, outputs, sample_weight)
        if self.gamma_ratio:
            self.gamma_ratio.update(*gradients)
        return gradients

    @property
    def gamma_value(self):
        return self.gamma_ratio.value if self.gamma_ratio else self.gamma

    @property
    def weight_trackers(self):
        """Metrics of the automatic weights."""
        ratios = (self.lambda_ratio, self.gamma_ratio)
        return [ratio.tracker for ratio in ratios if ratio]

    def track_discriminator_loss(self, loss, images, sample_weight):
        """Updates the metric of the discriminator's loss on a batch."""
        self.discriminator_loss_tracker.update_state(
            loss, sample_weight=self.batch_weight(images, sample_weight)
        )

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

    @property
    def score_vector(self):
        """Weights of the scores, a tensor."""
        return ops.convert_to_tensor(self._normalized_weights, "float32")

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
        encoded = encode_complete_labels(self.tasks, labels)
        count = encoded[self.tasks[0].name].shape[0]
        noise = keras.random.normal(
            (count, self.encoder.noise_code_size),
            seed=self.seed_generator if seed is None else seed,
        )
        with keep_values(self.decoder):
            return self.decoder.predict(
                {"noise_code": noise, "labels": encoded},
                batch_size=batch_size,
                verbose=0,
            )

    # === Saving ===

    def get_config(self):
        config = super().get_config()
        serialize = keras.saving.serialize_keras_object
        config.update(
            decoder=serialize(self.decoder),
            discriminator=serialize(self.discriminator),
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
