"""Encoder, decoder and discriminator."""

from keras_noisyfer.networks.decoder import Decoder as Decoder
from keras_noisyfer.networks.discriminator import (
    Discriminator as Discriminator,
)
from keras_noisyfer.networks.encoder import Encoder as Encoder
from keras_noisyfer.networks.network import IMAGE_SIZES as IMAGE_SIZES
from keras_noisyfer.networks.release import (
    load_release_weights as load_release_weights,
)
