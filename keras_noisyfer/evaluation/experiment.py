"""One training run of one method, under the same conditions as the others."""

import keras
import numpy as np

from keras_noisyfer.datasets.labelled_images import make_dataset
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


def method_labels(method, tasks, noisy, clean, seed=0):
    """The tasks and labels that a method trains on.

    Args:
        method: A key of `METHODS`.
        tasks: Sequence of tasks with their annotators.
        noisy: Dict by task name of the annotators' labels.
        clean: Dict by task name of the clean labels, without annotator axis;
            read by `"vggnet-clean"` only, None otherwise allowed.
        seed: Seed that breaks the ties of the majority vote.

    Returns:
        A list of tasks, and a dict of labels with an annotator axis.

    Raises:
        ValueError: if the method is unknown, or its labels are missing.
    """
    check_method(method)
    if method in ("vggnet", "proposed"):
        return list(tasks), noisy
    if method == "vggnet-clean":
        if clean is None:
            raise ValueError(
                "`clean` must be given for the method 'vggnet-clean'. "
                "Received: None"
            )
        labels = clean
    else:
        labels = {
            task.name: majority_vote(noisy[task.name], task.num_classes, seed)
            if isinstance(task, CategoricalTask)
            else mean_vote(noisy[task.name])
            for task in tasks
        }
    labels = {name: np.expand_dims(each, 1) for name, each in labels.items()}
    return [task.with_annotators(1) for task in tasks], labels


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
        tasks: Sequence of tasks, as `method_labels` returns them.
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
    tasks,
    images,
    noisy,
    test_data,
    clean=None,
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
        tasks: Sequence of tasks with their annotators.
        images: Training images, as in `make_dataset`.
        noisy: Dict by task name of the annotators' labels.
        test_data: `tf.data.Dataset` with clean labels, evaluated after each
            epoch.
        clean: Dict by task name of clean training labels, for
            `"vggnet-clean"` only.
        epochs: Number of epochs.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for the encoder and the decoder.
        discriminator_learning_rate: Of Adam, for the discriminator; by
            default `learning_rate`.
        decay: Whether `learning_rate` falls to a fiftieth along a cosine.
        augmentation: As in `make_dataset`.
        seed: Seed of everything.
        callbacks: Keras callbacks.
        verbose: As in `fit`.
        **model_options: Arguments of `make_model`.

    Returns:
        The trained model and its Keras `History`.
    """
    # First, since the order of a tf.data.Dataset depends on the global seed.
    keras.utils.set_random_seed(seed)
    tasks, labels = method_labels(method, tasks, noisy, clean, seed)
    dataset = make_dataset(
        images, labels, tasks, batch_size, True, augmentation, seed
    )
    shape = dataset.element_spec[0].shape
    model = make_model(
        method, tasks, tuple(shape[1:]), seed=seed, **model_options
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
