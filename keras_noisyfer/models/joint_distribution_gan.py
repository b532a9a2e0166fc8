"""The paper's method: an encoder kept from memorizing its noisy labels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_noisyfer.batches import Batch, label_tuples
from keras_noisyfer.distribution import draw_noise
from keras_noisyfer.fit_callbacks import WarnOfCollapse
from keras_noisyfer.losses import (
    discriminator_hinge_loss,
    generator_hinge_loss,
)
from keras_noisyfer.models import decoder_terms
from keras_noisyfer.models.balance import make_ratios, update_ratios
from keras_noisyfer.models.base import ON_JAX
from keras_noisyfer.models.joint_schedule import (
    check_schedule,
    either_step,
    joint_weight,
)
from keras_noisyfer.models.multi_task import MultiTaskModel
from keras_noisyfer.networks import Decoder, Discriminator, Encoder
from keras_noisyfer.networks.network import fit_network
from keras_noisyfer.optimizers import make_second_optimizer
from keras_noisyfer.typing import Labels, Tensor, Updates, Weights

if ON_JAX:
    from keras_noisyfer.models import jax_training
else:
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class JointDistributionGAN(MultiTaskModel):
    """Encoder, decoder and discriminator that match joint distributions.

    The encoder predicts the labels and the noise code of an image, the
    decoder makes an image from noisy labels and Gaussian noise, and the
    discriminator tells (image, prediction) from (decoded image, noisy
    labels). Encoder and decoder minimize, Eq. 9 of the paper,

    `sum categorical losses + gamma * sum continuous losses
    + lambda_joint * (mean D(x, G_Y(x)) - mean D(G_X(y), y))`

    and the discriminator the hinge loss, `discriminator_steps` times a step.
    The label streams enter the discriminator as raw outputs on the
    encoder's side and as one-hot vectors or values on the decoder's side; a
    missing one as the encoder's own prediction, without its gradient, on both
    sides, so that it tells the discriminator nothing.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        decoder: A `Decoder`; by default one with the encoder's tasks, image
            shape, noise code and width.
        discriminator: A `Discriminator`; likewise by default.
        lambda_joint: Weight of the joint-distribution loss, at least 0; the
            paper has 0.4 (CIFAR-10, AffectNet) and 1.0 (RAF). `"auto"` keeps
            its gradient half as long as that of the tasks' losses, from 0.05
            to 1; see `GradientRatio`. The logs have it, before the ramp.
        gamma: Weight of the continuous tasks' losses, at least 0. `"auto"`
            keeps their gradient as long as that of the categorical ones, from
            0.1 to 10; for tasks of both kinds.
        discriminator_steps: Updates of the discriminator a step, at least 1.
        warmup_epochs: Number of first epochs of plain training, without
            decoder and discriminator. They are counted over calls of `fit`
            and saved with the model.
        ramp_epochs: Number n of epochs after those in which `lambda_joint`
            counts in part: 1 / (n + 1) of it in the first, n / (n + 1) last.
        joint_every: Period of the batches with an alternating step, at least
            1. The others have steps of plain training, which cost a part of
            it; both weights count as many times more.
        reconstruction_weight: Weight of the mean absolute difference between
            an image and what the decoder makes of the encoder's own noise
            code and predicted labels, at least 0; at 10 the decoder draws
            early. Joint matching leaves that image open (Li et al.).
        kl_weight: Weight of the Kullback-Leibler divergence of the noise code
            from Gaussian noise, at least 0, such as 5e-4: a code that tells
            less leaves more to the labels (Kingma and Welling).
        auxiliary_weight: Weight, for the decoder alone, of how far the labels
            that the encoder reads in an image, decoded from one image's code
            and another's predicted labels, are from those; at least 0. It
            reads it moved, from 48 pixels on smoothed, every other one
            mirrored. At 0.5 the decoder draws that (after Odena et al.).
        use_joint_score, use_marginal_scores: Whether these take part.
        use_decoder: Whether there is one. Without, D compares (image,
            prediction) with (image, Gaussian noise, noisy labels).
        score_weights: Optional dict of weights by score name (see
            `Discriminator.score_names`); 1 where not given. The loss is
            their weighted mean.
        seed: Seed of the noise; an integer or None.
        **kwargs: `consensus`, `regularizers`, `mixup`, `name`, `dtype` and
            `trainable`; see `MultiTaskModel`.

    Raises:
        ValueError: if an argument is out of its range, no score takes part,
            or the networks do not fit each other.

    Example:

    >>> encoder = Encoder(tasks, image_shape=(48, 48, 3), width=0.25)
    >>> model = JointDistributionGAN(encoder, lambda_joint=0.4)
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> model.fit(dataset, validation_data=clean_dataset, epochs=30)

    Reference:

    - [Zhang et al., 2021](https://arxiv.org/abs/2010.09849)
    - [Li et al., 2017](https://arxiv.org/abs/1709.01215), ALICE
    - [Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114), VAE
    - [Odena et al., 2017](https://arxiv.org/abs/1610.09585), AC-GAN
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder | None = None,
        discriminator: Discriminator | None = None,
        lambda_joint: float | str = 0.4,
        gamma: float | str = 1.0,
        discriminator_steps: int = 2,
        warmup_epochs: int = 0,
        ramp_epochs: int = 0,
        joint_every: int = 1,
        reconstruction_weight: float = 0.0,
        kl_weight: float = 0.0,
        auxiliary_weight: float = 0.0,
        use_joint_score: bool = True,
        use_marginal_scores: bool = True,
        use_decoder: bool = True,
        score_weights: dict[str, float] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(encoder, **kwargs)
        check_schedule(
            discriminator_steps, warmup_epochs, ramp_epochs, joint_every
        )
        self.lambda_joint, self.gamma = lambda_joint, gamma
        ratios = make_ratios(lambda_joint, gamma, self.tasks)
        self.lambda_ratio, self.gamma_ratio = ratios
        self.discriminator_steps = discriminator_steps
        self.warmup_epochs = warmup_epochs
        self.ramp_epochs = ramp_epochs
        self.joint_every = joint_every
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        self.auxiliary_weight = auxiliary_weight
        self.adversarial = warmup_epochs == 0
        self.use_joint_score = use_joint_score
        self.use_marginal_scores = use_marginal_scores
        self.use_decoder = use_decoder
        self.score_weights = {} if score_weights is None else score_weights
        self.seed = seed
        decoder_terms.check_weights(self)
        self.decoder = fit_network(
            "decoder", decoder, Decoder, encoder, use_decoder
        )
        self.discriminator = fit_network(
            "discriminator", discriminator, Discriminator, encoder
        )
        self.score_shares = self.discriminator.share_weights(
            self.score_weights, use_joint_score, use_marginal_scores
        )
        self.seed_generator = keras.random.SeedGenerator(seed)
        mean = keras.metrics.Mean
        self.joint_loss_tracker = mean("generator_joint_loss")
        self.discriminator_loss_tracker = mean("discriminator_loss")
        self.decoder_trackers = decoder_terms.make_trackers(self)

    # === The two tuples ===

    def make_tuples(
        self,
        batch: Batch,
        encoder_noise: Tensor | None = None,
        decoder_noise: Tensor | None = None,
        training: bool = True,
    ) -> tuple[Labels, Labels, Labels]:
        """Runs encoder and decoder and makes the two tuples that the
        discriminator compares.

        Args:
            batch: The `Batch`, of which images and labels are used.
            encoder_noise: Gaussian noise, shape
                `(batch_size, noise_code_size)`; drawn if one of both is None.
            decoder_noise: Likewise.
            training: Whether the networks run in training mode.

        Returns:
            The encoder's outputs with those of `decoder_terms.decode`, and
            both tuples, each a dict as `Discriminator` takes it.
        """
        outputs = self.encoder.encode(batch.images, training)
        mean, raw = outputs["mean"], outputs["labels"]
        if encoder_noise is None or decoder_noise is None:
            shape, seed = ops.shape(mean), self.seed_generator
            encoder_noise = draw_noise(shape, seed)
            decoder_noise = draw_noise(shape, seed)
        deviation = ops.exp(0.5 * outputs["log_variance"])
        noise_code = mean + encoder_noise * deviation

        streams = label_tuples(self.tasks, batch, raw)
        encoder_streams, decoder_streams, decoder_labels = streams
        encoded = {"noise_code": noise_code, "labels": encoder_streams}
        decoded = {"noise_code": decoder_noise, "labels": decoder_streams}
        encoded["image"] = batch.images
        if self.use_decoder:
            codes = {"noise_code": decoder_noise, "labels": decoder_labels}
            decoded["image"] = self.decoder(codes, training=training)
        terms = decoder_terms.decode(self, outputs, noise_code, training)
        return {**outputs, **terms}, encoded, decoded

    # === Both losses ===

    def discriminator_loss(
        self,
        encoded: Labels,
        decoded: Labels,
        sample_weight: Weights = None,
        training: bool = True,
    ) -> Tensor:
        """Hinge loss of the discriminator on the two tuples, a scalar."""
        score = self.discriminator.score_pair
        first, second, _ = score(encoded, decoded, training)
        shares = self.score_shares
        return discriminator_hinge_loss(first, second, shares, sample_weight)

    def generator_joint_loss(
        self,
        encoded: Labels,
        decoded: Labels,
        sample_weight: Weights = None,
        training: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Joint-distribution loss of the generators on the two tuples.

        Returns:
            A scalar, and the discriminator's features of the images.
        """
        score = self.discriminator.score_pair
        first, second, features = score(encoded, decoded, training, True)
        shares = self.score_shares
        loss = generator_hinge_loss(first, second, shares, sample_weight)
        return loss, features

    def generator_loss(
        self, batch: Batch, outputs: Labels, encoded: Labels, decoded: Labels
    ) -> Tensor:
        """What encoder and decoder minimize, a scalar; updates the metrics
        and the automatic weights."""
        weights = batch.image_weights
        loss, features = self.generator_joint_loss(encoded, decoded, weights)
        self.joint_loss_tracker.update_state(loss, batch.weight)
        update_ratios(self, batch, outputs, encoded, features)
        added = joint_weight(self) * loss + outputs["added_loss"]
        added += self.joint_every * decoder_terms.weigh(self, batch, outputs)
        return self.tracked_loss(batch, outputs["labels"], added)

    @property
    def gamma_value(self) -> Tensor:
        return self.gamma_ratio.value if self.gamma_ratio else self.gamma

    # === The step ===
    # Algorithm 1 in the order of the authors' release: the discriminator
    # first and twice, on tuples that are made once, then the generators.

    def train_step(self, *arguments: Any) -> Any:
        plain, joint = super().train_step, self.alternating_step
        if self.adversarial and self.joint_every > 1:
            return either_step(self, joint, plain, arguments)
        return (joint if self.adversarial else plain)(*arguments)

    def alternating_step(self, *arguments: Any) -> Any:
        if ON_JAX:
            return jax_training.alternating_step(self, *arguments)
        (data,) = arguments
        kept = self.fault_guard.keep(self)
        batch = self.unpack_batch(data)
        generators = self.trained_variables
        # Watching only these leaves the image stream on real images, which
        # no generator variable reaches, out of the backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in generators])
            outputs, encoded, decoded = self.make_tuples(batch)
            with tape.stop_recording():
                fault, update = tf.constant(0), self.update_discriminator
                # Traced once for all its repetitions. An optimizer cannot
                # run in a function of its own under a strategy.
                if not self.run_eagerly and not tf.distribute.has_strategy():
                    update = tf.function(update, autograph=False)
                for _ in range(self.discriminator_steps):
                    discriminator_loss, fault = update(
                        encoded, decoded, batch.image_weights, fault
                    )
            loss = self.generator_loss(batch, outputs, encoded, decoded)
        updates = [(self.optimizer, generators)]
        fault = self.fault_guard.apply(self, tape, [loss], updates, fault)
        tracker = self.discriminator_loss_tracker
        tracker.update_state(discriminator_loss, batch.weight)
        self.fault_guard.finish(self, fault, kept, batch.index)
        return self.get_metrics_result()

    def update_discriminator(
        self,
        encoded: Labels,
        decoded: Labels,
        sample_weight: Weights,
        fault: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Updates the discriminator once; returns its loss, and the number of
        a fault or 0."""
        variables = self.discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([each.value for each in variables])
            loss = self.discriminator_loss(encoded, decoded, sample_weight)
        updates = [(self.discriminator_optimizer, variables)]
        terms = [(self.discriminator_loss_tracker.name, loss)]
        apply = self.fault_guard.apply
        return loss, apply(self, tape, [loss], updates, fault, terms)

    @property
    def updates(self) -> Updates:
        # Of a plain step; there is nothing for the decoder to learn.
        return [(self.optimizer, self.encoder.trainable_variables)]

    def training_losses(self, batch: Batch) -> list[Tensor]:
        outputs = self.encoder.encode(batch.images)
        update_ratios(self, batch, outputs)
        labels, added = outputs["labels"], outputs["added_loss"]
        return [self.tracked_loss(batch, labels, added)]

    def make_train_function(self, force: bool = False) -> Any:
        # Which of the two steps runs is fixed when the step is traced.
        adversarial = int(self.completed_epochs.numpy()) >= self.warmup_epochs
        force = force or adversarial != self.adversarial
        self.adversarial = adversarial
        return super().make_train_function(force)

    # === What is trained, told and drawn ===

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = None,
        discriminator_optimizer: Any = None,
        **options: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: Optimizer of the encoder and the decoder. By default
                `FusedAdam` with learning rate 1e-4, as in the paper.
            discriminator_optimizer: Optimizer of the discriminator. By
                default a new one with the configuration of `optimizer`. Its
                schedule counts batches, not updates, after the warm-up. Where
                a callback changes the learning rate of `optimizer` by a
                factor, it changes by the same. It cannot accumulate gradients
                over batches in each of which it updates several times.
            **options: See `MultiTaskModel.compile`. Where a fault is found in
                the update of encoder and decoder, those that the
                discriminator has had from that batch stay.
        """
        super().compile(optimizer=optimizer, **options)
        name, given = "discriminator_optimizer", discriminator_optimizer
        variables = self.discriminator.trainable_variables
        counts = self.discriminator_steps, self.joint_every
        self.discriminator_optimizer = make_second_optimizer(
            self, name, given, variables, *counts
        )

    @property
    def trained_variables(self) -> list[keras.Variable]:
        decoder = self.decoder.trainable_variables if self.use_decoder else []
        return [*self.encoder.trainable_variables, *decoder]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        ratios = (self.lambda_ratio, self.gamma_ratio)
        losses = [self.joint_loss_tracker, self.discriminator_loss_tracker]
        losses += self.decoder_trackers.values()
        weights = (ratio.tracker for ratio in ratios if ratio)
        return [*super().metrics, *losses, *weights]

    def make_callbacks(self) -> list[keras.callbacks.Callback]:
        return [*super().make_callbacks(), WarnOfCollapse()]

    def generate(
        self, labels: Labels, seed: Any = None, batch_size: int = 128
    ) -> np.ndarray:
        """Images that the decoder makes for given labels; without `seed` of
        the model's own noise. See `Decoder.generate`."""
        if not self.use_decoder:
            raise ValueError(
                "`generate` needs a decoder. Received: a model with "
                "`use_decoder=False`"
            )
        seed = self.seed_generator if seed is None else seed
        return self.decoder.generate(labels, seed, batch_size)
