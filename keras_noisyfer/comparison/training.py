"""One training run of one method, under the same conditions as the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras

from keras_noisyfer.arguments import check_number
from keras_noisyfer.comparison.methods import (
    check_method,
    make_model,
    method_data,
)
from keras_noisyfer.models import JointDistributionGAN, MultiTaskModel
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.typing import Augmentation, Shape

if TYPE_CHECKING:
    from keras_noisyfer.datasets.labelled_images import LabelledImages

# Passes over the features of a frozen encoder; each takes seconds.
LAST_LAYER_EPOCHS = 10


def prepare_training(
    method: str,
    data: LabelledImages,
    image_shape: Shape | None = None,
    epochs: int = 1,
    batch_size: int = 128,
    learning_rate: float = 1e-4,
    discriminator_learning_rate: float | None = None,
    discriminator_beta_1: float = 0.9,
    decay: bool = False,
    use_ema: bool = False,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    verbose: Any = "auto",
    **model_options: Any,
) -> tuple[MultiTaskModel, Any, int]:
    """The model of a method, ready for `fit`.

    The same seed gives every method the same initial encoder, order of
    images and augmentation.

    Args:
        method: A key of `METHODS`.
        data: `LabelledImages` to train on; its clean labels are read by
            `"vggnet-clean"` only.
        image_shape: See `LabelledImages.batches`.
        epochs: Number of epochs that `decay` ends with; with a frozen
            encoder, of the plain training before it.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for the encoder and the decoder.
        discriminator_learning_rate: Of Adam, for the discriminator; by
            default `learning_rate`.
        discriminator_beta_1: Likewise; 0.5 is usual for GANs.
        decay: Whether `learning_rate` falls to a fiftieth along a cosine.
        use_ema: Whether averages of the weights over time are tested and
            kept, see `FusedAdam`.
        augmentation: See `LabelledImages.batches`.
        seed: Seed of everything.
        verbose: As in `fit`.
        **model_options: Arguments of `make_model`.

    Returns:
        The compiled model, the `tf.data.Dataset` that it is trained on, and
        the number of epochs.
    """
    rate, beta_1 = discriminator_learning_rate, discriminator_beta_1
    check_number("learning_rate", learning_rate, above=0)
    rate = learning_rate if rate is None else rate
    check_number("discriminator_learning_rate", rate, above=0)
    check_number("discriminator_beta_1", beta_1, 0, below=1)
    # First, since the order of a tf.data.Dataset depends on the global seed.
    keras.utils.set_random_seed(seed)
    chosen = check_method(method)
    data = method_data(method, data, seed)
    options: dict[str, Any] = {
        "image_shape": image_shape,
        "batch_size": batch_size,
    }
    dataset = data.batches(
        **options,
        training=True,
        augmentation=augmentation,
        seed=seed,
        # ELR needs it, and a numerical fault names its images by it.
        with_index=True,
    )
    shape = dataset.element_spec[0]["image"].shape
    model = make_model(
        method, data, tuple(shape[1:]), seed=seed, **model_options
    )
    schedule = learning_rate
    if decay:
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate, len(dataset) * epochs, alpha=0.02
        )
    optimizers = [FusedAdam(schedule, use_ema=use_ema)]
    if isinstance(model, JointDistributionGAN):
        optimizers.append(FusedAdam(rate, beta_1=beta_1, use_ema=use_ema))
    if chosen.pretrained:
        plain = MultiTaskModel(model.encoder, gamma=model.gamma)
        plain.compile(*optimizers)
        plain.fit(dataset, epochs=epochs, verbose=verbose)
        # What is learnt on frozen features sees all images as they are.
        dataset = data.batches(**options)
        epochs, optimizers = LAST_LAYER_EPOCHS, []
    losses = chosen.make_losses(data.tasks)
    model.compile(*optimizers, loss=losses)  # type: ignore[misc]
    return model, dataset, epochs


def train_method(
    method: str,
    data: LabelledImages,
    test_data: Any,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: Any = "auto",
    **options: Any,
) -> tuple[MultiTaskModel, keras.callbacks.History]:
    """Trains one method and follows it on clean test data.

    Args:
        method: A key of `METHODS`.
        data: See `prepare_training`.
        test_data: `tf.data.Dataset` with clean labels, evaluated after each
            epoch, which decides nothing; or None.
        callbacks: Keras callbacks.
        verbose: As in `fit`.
        **options: Further arguments of `prepare_training`.

    Returns:
        The trained model and its Keras `History`.
    """
    model, dataset, epochs = prepare_training(
        method, data, verbose=verbose, **options
    )
    history = model.fit(
        dataset,
        epochs=epochs,
        validation_data=test_data,
        callbacks=list(callbacks),
        verbose=verbose,
    )
    return model, history
