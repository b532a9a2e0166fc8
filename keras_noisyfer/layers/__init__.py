"""Layers of the networks."""

from keras_noisyfer.layers.kernel_gradient import Conv2D
from keras_noisyfer.layers.label_mlp import LabelMLP
from keras_noisyfer.layers.residual_block import ResidualBlock
from keras_noisyfer.layers.self_attention import SelfAttention
from keras_noisyfer.layers.spectral_normalization import (
    SpectralBranches,
    SpectralConv2D,
    SpectralConv2DTranspose,
    SpectralDense,
)

__all__ = [
    "Conv2D",
    "LabelMLP",
    "ResidualBlock",
    "SelfAttention",
    "SpectralBranches",
    "SpectralConv2D",
    "SpectralConv2DTranspose",
    "SpectralDense",
]
