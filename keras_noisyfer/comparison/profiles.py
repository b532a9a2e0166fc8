"""Sizes and training settings of a comparison, the same for all methods."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Profile:
    """Settings that every cell of a comparison shares.

    Attributes:
        train_size: Number of training images; `None`: all that are left.
        validation_size: Number of further training images whose noisy labels
            choose an epoch.
        test_size: Number of test images; `None`: all.
        image_size: Height and width of the images.
        epochs: Number of epochs; nothing stops earlier.
        warmup_epochs: First epochs of plain training of the methods that
            have them.
        batch_size: Number of images a batch.
        learning_rate: Of Adam, for all networks.
        decay: Whether it falls to a fiftieth along a cosine; that of the
            discriminator does not.
        augmentation: Whether training images are augmented.
        width: Multiplier of all filters and hidden units.
        batch_normalization: Whether the encoder has it.
        dropout: Rate of the encoder's dropout.
        lambda_joint: Weight of the joint-distribution loss.
        gamma: Weight of the continuous tasks' losses.
    """

    train_size: int | None
    validation_size: int
    test_size: int | None
    image_size: int
    epochs: int
    warmup_epochs: int
    batch_size: int
    learning_rate: float
    decay: bool
    augmentation: bool
    width: float
    batch_normalization: bool
    dropout: float
    lambda_joint: float
    gamma: float = 1.0


# `paper` has the values of the paper or, where it is silent, of the authors'
# release; neither tells the number of epochs. `small` fits on two CPU cores,
# and is without augmentation so that plain training memorises labels before
# it ends. Its settings were chosen by the noisy validation labels of plain
# training.
CIFAR10_PROFILES = {
    "paper": Profile(
        train_size=None,
        validation_size=1000,
        test_size=None,
        image_size=32,
        epochs=200,
        warmup_epochs=1,
        batch_size=128,
        learning_rate=1e-4,
        decay=False,
        augmentation=True,
        width=1.0,
        batch_normalization=False,
        dropout=0.5,
        lambda_joint=0.4,
    ),
    "small": Profile(
        train_size=5000,
        validation_size=1000,
        test_size=5000,
        image_size=32,
        epochs=24,
        warmup_epochs=3,
        batch_size=64,
        learning_rate=1e-3,
        decay=True,
        augmentation=False,
        width=0.25,
        batch_normalization=True,
        dropout=0.0,
        lambda_joint=0.4,
    ),
}

# The warm-up of the release's RAF model, and its image size.
FACE_PROFILES = {
    "paper": dataclasses.replace(
        CIFAR10_PROFILES["paper"],
        image_size=64,
        epochs=60,
        warmup_epochs=5,
    ),
    "small": dataclasses.replace(CIFAR10_PROFILES["small"], test_size=2000),
}


def profile_of(case: str, name: str) -> Profile:
    """The `Profile` of a case, see `data.DATASETS`, by its name."""
    profiles = CIFAR10_PROFILES if case == "cifar10" else FACE_PROFILES
    return profiles[name]
