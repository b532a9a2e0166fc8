"""One training run of one method, under the same conditions as the others."""

import keras
import numpy as np

from keras_noisyfer.models import JointDistributionGAN, MultiTaskClassifier
from keras_noisyfer.networks import Decoder, Discriminator, Encoder
from keras_noisyfer.noise import majority_vote, mean_vote
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.tasks import CategoricalTask

METHODS = {
    "vggnet": "VGGNet, all noisy labels",
    "vggnet-clean": "VGGNet, clean labels",
    "majority-vote": "VGGNet, majority vote",
    "proposed": "Joint-distribution GAN",
}


def check_method(method):
    """Raises `ValueError` if `method` is none of `METHODS`."""
    if method not in METHODS:
        raise ValueError(
            f"`method` must be one of {', '.join(METHODS)}. "
            f"Received: {method!r}"
        )


def method_data(method, data, seed=0):
    """The images with the labels that a method trains on.

    Args:
        method: A key of `METHODS`.
        data: `LabelledImages` with the annotators' labels.
        seed: Seed that breaks the ties of the majority vote.

    Returns:
        `LabelledImages`: of all annotators, or of one that stands for them.

    Raises:
        ValueError: if the method is unknown, or a task has no clean labels
            and the method is `"vggnet-clean"`.
    """
    check_method(method)
    if method in ("vggnet", "proposed"):
        return data
    if method == "vggnet-clean":
        missing = [t.name for t in data.tasks if t.name not in data.clean]
        if missing:
            raise ValueError(
                "`data` must have clean labels of every task for the method "
                f"'vggnet-clean'. Received: none of {', '.join(missing)}"
            )
        labels = data.clean
    else:
        labels = {
            task.name: majority_vote(
                data.labels[task.name], task.num_classes, seed
            )
            if isinstance(task, CategoricalTask)
            else mean_vote(data.labels[task.name])
            for task in data.tasks
        }
    # All methods see labels of the same form, with an annotator axis.
    return data.with_labels(
        {name: np.expand_dims(each, 1) for name, each in labels.items()}
    )


def make_model(
    method,
    tasks,
    image_shape,
    width=1.0,
    batch_normalization=False,
    dropout=0.5,
    lambda_joint=0.4,
    gamma=1.0,
    warmup_epochs=0,
    seed=None,
):
    """The model of a method; the encoder is the same for all of them.

    Args:
        method: A key of `METHODS`.
        tasks: Sequence of tasks, those of `method_data`.
        image_shape: See `Encoder`.
        width: See `Encoder`; of all three networks.
        batch_normalization: See `Encoder`.
        dropout: See `Encoder`.
        lambda_joint: See `JointDistributionGAN`.
        gamma: See `JointDistributionGAN`.
        warmup_epochs: See `JointDistributionGAN`.
        seed: Seed of the joint-distribution GAN's noise.

    Returns:
        A `MultiTaskClassifier` or a `JointDistributionGAN`, not compiled.
    """
    check_method(method)
    encoder = Encoder(
        tasks,
        image_shape,
        width=width,
        batch_normalization=batch_normalization,
        dropout=dropout,
        name="encoder",
    )
    if method != "proposed":
        return MultiTaskClassifier(encoder, gamma=gamma)
    return JointDistributionGAN(
        encoder,
        Decoder(tasks, image_shape, width=width, name="decoder"),
        Discriminator(tasks, image_shape, width=width, name="discriminator"),
        lambda_joint=lambda_joint,
        gamma=gamma,
        warmup_epochs=warmup_epochs,
        seed=seed,
    )


def train_method(
    method,
    data,
    test_data,
    image_shape=None,
    epochs=1,
    batch_size=128,
    learning_rate=1e-4,
    discriminator_learning_rate=None,
    decay=False,
    augmentation=None,
    seed=0,
    callbacks=(),
    verbose="auto",
    **model_options,
):
    """Trains one method and follows it on clean test data.

    The same seed gives every method the same initial encoder, order of
    images and augmentation. The test data decides nothing.

    Args:
        method: A key of `METHODS`.
        data: `LabelledImages` to train on; its clean labels are read by
            `"vggnet-clean"` only.
        test_data: `tf.data.Dataset` with clean labels, evaluated after each
            epoch; or None.
        image_shape: See `LabelledImages.batches`.
        epochs: Number of epochs.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for the encoder and the decoder.
        discriminator_learning_rate: Of Adam, for the discriminator; by
            default `learning_rate`.
        decay: Whether `learning_rate` falls to a fiftieth along a cosine.
        augmentation: See `LabelledImages.batches`.
        seed: Seed of everything.
        callbacks: Keras callbacks.
        verbose: As in `fit`.
        **model_options: Arguments of `make_model`.

    Returns:
        The trained model and its Keras `History`.
    """
    # First, since the order of a tf.data.Dataset depends on the global seed.
    keras.utils.set_random_seed(seed)
    data = method_data(method, data, seed)
    dataset = data.batches(image_shape, batch_size, True, augmentation, seed)
    shape = dataset.element_spec[0].shape
    model = make_model(
        method, data.tasks, tuple(shape[1:]), seed=seed, **model_options
    )
    schedule = learning_rate
    if decay:
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate, len(dataset) * epochs, alpha=0.02
        )
    optimizers = [FusedAdam(schedule)]
    if method == "proposed":
        optimizers.append(
            FusedAdam(discriminator_learning_rate or learning_rate)
        )
    model.compile(*optimizers)
    history = model.fit(
        dataset,
        epochs=epochs,
        validation_data=test_data,
        callbacks=list(callbacks),
        verbose=verbose,
    )
    return model, history
