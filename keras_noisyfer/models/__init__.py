"""Trainable models."""

from keras_noisyfer.models.air import AIR
from keras_noisyfer.models.annotator_model import AnnotatorModel
from keras_noisyfer.models.co_teaching import CoTeaching
from keras_noisyfer.models.crowd_layer import CrowdLayer
from keras_noisyfer.models.joint_distribution_gan import JointDistributionGAN
from keras_noisyfer.models.ltnet import LTNet
from keras_noisyfer.models.multi_task import MultiTaskModel

__all__ = [
    "AIR",
    "AnnotatorModel",
    "CoTeaching",
    "CrowdLayer",
    "JointDistributionGAN",
    "LTNet",
    "MultiTaskModel",
]
