"""Layers of the networks."""

from keras_noisyfer.layers.kernel_gradient import Conv2D as Conv2D
from keras_noisyfer.layers.label_mlp import LabelMLP as LabelMLP
from keras_noisyfer.layers.residual_block import ResidualBlock as ResidualBlock
from keras_noisyfer.layers.self_attention import SelfAttention as SelfAttention
from keras_noisyfer.layers.spectral_normalization import (
    SpectralBranches as SpectralBranches,
)
from keras_noisyfer.layers.spectral_normalization import (
    SpectralConv2D as SpectralConv2D,
)
from keras_noisyfer.layers.spectral_normalization import (
    SpectralConv2DTranspose as SpectralConv2DTranspose,
)
from keras_noisyfer.layers.spectral_normalization import (
    SpectralDense as SpectralDense,
)
