"""Trainable models."""

from keras_noisyfer.models.classifier import (
    MultiTaskClassifier as MultiTaskClassifier,
)
from keras_noisyfer.models.joint_distribution_gan import (
    JointDistributionGAN as JointDistributionGAN,
)
