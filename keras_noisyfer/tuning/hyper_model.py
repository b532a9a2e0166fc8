"""The joint-distribution GAN as KerasTuner searches it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from keras_noisyfer.arguments import check_number
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.models import JointDistributionGAN
from keras_noisyfer.networks import Encoder
from keras_noisyfer.networks.network import copy_weights
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import ContinuousTask
from keras_noisyfer.tuning.objectives import (
    PAPER_TARGETS,
    SelectionObjectives,
)
from keras_noisyfer.tuning.search_space import check_values, choose
from keras_noisyfer.typing import Augmentation, Shape


class JointDistributionHyperModel(keras_tuner.HyperModel):
    """Builds and trains the joint-distribution GAN for any KerasTuner tuner.

    It holds the data, so that `tuner.search` needs only the number of epochs.
    Neither data set needs a clean label. What is searched is given as

    - a number: fixed;
    - a tuple `(low, high)`: a range, on a logarithmic scale where `low` is
      above 0 and the hyperparameter is not an integer;
    - a list: a choice;
    - `"auto"`, for `lambda_joint` and `gamma`: balanced in training.

    Args:
        data: `LabelledImages` to train on.
        validation_data: `LabelledImages` held out, with labels of the same
            kind: noisy ones, from the same annotators.
        lambda_joint: See `JointDistributionGAN`.
        gamma: See `JointDistributionGAN`; fixed without continuous tasks.
        width: See `Encoder`.
        learning_rate: Of `FusedAdam`, for the encoder and the decoder.
        warmup_epochs: See `JointDistributionGAN`.
        discriminator_steps: See `JointDistributionGAN`.
        discriminator_learning_rate: Of `FusedAdam`; by default
            `learning_rate`. Not searched.
        image_shape: See `LabelledImages.batches`.
        batch_size: Number of images a batch.
        augmentation: See `LabelledImages.batches`.
        targets: See `SelectionObjectives`.
        seed: Seed of everything, the same in each trial.
        encoder_options: Dict of further arguments of `Encoder`.

    Raises:
        ValueError: if a hyperparameter is something else, or the two data
            sets have different tasks.

    Example:

    >>> train, held_out = data.split((800, 100))
    >>> hypermodel = JointDistributionHyperModel(train, held_out, gamma=1.0)
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, make_objective("val_consensus_loss"), max_trials=10
    ... )
    >>> tuner.search(epochs=20)
    >>> tuner.get_best_hyperparameters()[0]["lambda_joint"]
    """

    def __init__(
        self,
        data: LabelledImages,
        validation_data: LabelledImages,
        lambda_joint: Any = (0.05, 2.0),
        gamma: Any = (0.1, 10.0),
        width: Any = 0.25,
        learning_rate: Any = 1e-3,
        warmup_epochs: Any = 0,
        discriminator_steps: Any = 2,
        discriminator_learning_rate: float | None = None,
        image_shape: Shape | None = None,
        batch_size: int = 128,
        augmentation: Augmentation | None = None,
        targets: Sequence[float] = PAPER_TARGETS,
        seed: int = 0,
        encoder_options: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        for name, given in (
            ("data", data),
            ("validation_data", validation_data),
        ):
            if not isinstance(given, LabelledImages):
                raise ValueError(
                    f"`{name}` must be LabelledImages. "
                    f"Received: {type(given).__name__}"
                )
        if list(data.tasks) != list(validation_data.tasks):
            raise ValueError(
                "`validation_data` must have the tasks of `data`, "
                f"{data.tasks}. Received: {validation_data.tasks}"
            )
        if not isinstance(targets, (tuple, list)) or len(targets) != 2:
            raise ValueError(
                "`targets` must be the joint losses of the generators and of "
                f"the discriminator. Received: {targets}"
            )
        for each in targets:
            check_number("targets", each)
        check_number("seed", seed, minimum=0, integer=True)
        encoder_options = {} if encoder_options is None else encoder_options
        own = {"tasks", "image_shape", "width"}
        if not isinstance(encoder_options, Mapping) or own & {*encoder_options}:
            raise ValueError(
                "`encoder_options` must be a dict of arguments of `Encoder` "
                f"without {', '.join(sorted(own))}. "
                f"Received: {encoder_options!r}"
            )
        self.data = data
        self.validation_data = validation_data
        has_values = any(isinstance(t, ContinuousTask) for t in data.tasks)
        self.space = {
            "lambda_joint": lambda_joint,
            # It weighs nothing without them.
            "gamma": gamma if has_values else 1.0,
            "width": width,
            "learning_rate": learning_rate,
            "warmup_epochs": warmup_epochs,
            "discriminator_steps": discriminator_steps,
        }
        for name, values in self.space.items():
            check_values(name, values)
        if discriminator_learning_rate is not None:
            discriminator_learning_rate = float(
                check_number(
                    "discriminator_learning_rate",
                    discriminator_learning_rate,
                    above=0,
                )
            )
        self.discriminator_learning_rate = discriminator_learning_rate
        self.batches: dict[str, Any] = {
            "image_shape": image_shape,
            "batch_size": batch_size,
        }
        self.augmentation = augmentation
        self.targets = tuple(targets)
        self.seed = seed
        self.encoder_options = dict(encoder_options)
        # What they refuse is refused before a trial.
        self._make_batches()

    def build(self, hp: keras_tuner.HyperParameters) -> JointDistributionGAN:
        """The compiled model of a trial's hyperparameters."""
        keras.utils.set_random_seed(self.seed)
        chosen = {
            name: choose(hp, name, values)
            for name, values in self.space.items()
        }
        spec, _ = self.validation_data.batches(**self.batches).element_spec
        encoder = Encoder(
            self.data.tasks,
            tuple(spec.shape[1:]),
            width=chosen.pop("width"),
            **self._copy_options(),
        )
        learning_rate = chosen.pop("learning_rate")
        model = JointDistributionGAN(encoder, seed=self.seed, **chosen)
        model.compile(
            FusedAdam(learning_rate),
            FusedAdam(self.discriminator_learning_rate or learning_rate),
        )
        return model

    def _make_batches(self):
        return self.data.batches(
            **self.batches,
            training=True,
            augmentation=self.augmentation,
            seed=self.seed,
            with_index=True,
        )

    def _copy_options(self):
        options = dict(self.encoder_options)
        backbone = options.get("backbone")
        if backbone is not None:
            # Each trial begins with what it has learned elsewhere.
            options["backbone"] = keras.models.clone_model(backbone)
            copy_weights(backbone, options["backbone"])
        return options

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains a model on the data; further arguments are those of
        `keras.Model.fit`."""
        held_out = self.validation_data.batches(**self.batches)
        return model.fit(
            self._make_batches(),
            validation_data=held_out,
            # First, so that the others find the objectives in the logs.
            callbacks=[
                SelectionObjectives(held_out, self.targets),
                *callbacks,
            ],
            **kwargs,
        )
