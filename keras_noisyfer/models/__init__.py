"""Trainable models."""

from keras_noisyfer.models.air import (
    AuxiliaryImageRegularizer as AuxiliaryImageRegularizer,
)
from keras_noisyfer.models.classifier import (
    MultiTaskClassifier as MultiTaskClassifier,
)
from keras_noisyfer.models.co_teaching import CoTeaching as CoTeaching
from keras_noisyfer.models.early_learning import (
    EarlyLearningRegularizer as EarlyLearningRegularizer,
)
from keras_noisyfer.models.joint_distribution_gan import (
    JointDistributionGAN as JointDistributionGAN,
)
from keras_noisyfer.models.ltnet import LTNet as LTNet
