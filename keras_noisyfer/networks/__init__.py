"""Encoder, decoder and discriminator."""

from keras_noisyfer.networks.decoder import Decoder
from keras_noisyfer.networks.discriminator import (
    Discriminator,
)
from keras_noisyfer.networks.encoder import Encoder
from keras_noisyfer.networks.network import IMAGE_SIZES
from keras_noisyfer.networks.release import (
    load_release_weights,
)

__all__ = [
    "IMAGE_SIZES",
    "load_release_weights",
    "Decoder",
    "Discriminator",
    "Encoder",
]
