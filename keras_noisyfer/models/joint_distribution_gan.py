"""The paper's method: an encoder kept from memorising its noisy labels."""

import keras

from keras_noisyfer.models.collapse import WarnOfCollapse
from keras_noisyfer.models.joint_objective import JointDistributionObjective
from keras_noisyfer.models.second_optimizer import make_second_optimizer
from keras_noisyfer.models.steps import AlternatingStep


@keras.saving.register_keras_serializable(package="keras_noisyfer")
class JointDistributionGAN(AlternatingStep, JointDistributionObjective):
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

    The gradients of automatic weights are those with respect to the features
    that all heads of the encoder share, and their lengths moving averages
    over the steps. The logs of each epoch have both weights.

    A missing label's stream holds the encoder's own prediction, without its
    gradient, on both sides, so that it tells the discriminator nothing.

    Args:
        encoder: An `Encoder`. Its tasks are those of the model.
        decoder: A `Decoder`; by default one with the encoder's tasks, image
            shape, noise code and width.
        discriminator: A `Discriminator`; likewise by default.
        lambda_joint: Weight of the joint-distribution loss, at least 0; the
            paper has 0.4 (CIFAR-10, AffectNet) and 1.0 (RAF). `"auto"` keeps
            its gradient half as long as that of the tasks' losses (see
            below), from 0.05 to 1.
        gamma: Weight of the continuous tasks' losses, at least 0. `"auto"`
            keeps their gradient as long as that of the categorical ones, from
            0.1 to 10; for tasks of both kinds.
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
        consensus: `"mean"` or `"first"`; see `labels.consensus`.
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

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.adversarial = self.warmup_epochs == 0

    def compile(self, optimizer=None, discriminator_optimizer=None, **options):
        """Configures training.

        Args:
            optimizer: Optimizer of the encoder and the decoder. By default
                `FusedAdam` with learning rate 1e-4, as in the paper.
            discriminator_optimizer: Optimizer of the discriminator. By
                default a new one with the configuration of `optimizer`. Its
                schedule counts batches, not updates, and where a callback
                changes the learning rate of `optimizer` by a factor, it
                changes by the same. It cannot accumulate gradients over
                batches in each of which it updates several times.
            **options: See `MultiTaskClassifier.compile`. Where a fault is
                found in the update of encoder and decoder, those that the
                discriminator has had from that batch stay.
        """
        super().compile(optimizer=optimizer, **options)
        self.discriminator_optimizer = make_second_optimizer(
            self,
            "discriminator_optimizer",
            discriminator_optimizer,
            self.discriminator.trainable_variables,
            updates=self.discriminator_steps,
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

    def make_callbacks(self):
        return [*super().make_callbacks(), WarnOfCollapse()]

    @property
    def second_optimizers(self):
        return [self.discriminator_optimizer]

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
            *self.weight_trackers,
        ]

    def make_train_function(self, force=False):
        # Which of the two steps runs is fixed when the step is traced.
        adversarial = int(self.completed_epochs.numpy()) >= self.warmup_epochs
        force = force or adversarial != self.adversarial
        self.adversarial = adversarial
        return super().make_train_function(force)
