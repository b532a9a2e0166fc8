"""Taking the trained networks to where they are used."""

from keras_noisyfer.serving.export import FORMATS, export, export_decoder
from keras_noisyfer.serving.model_card import ModelCard
from keras_noisyfer.serving.predictor import (
    Predictor,
    load_saved_model,
    newest_version,
)

__all__ = [
    "FORMATS",
    "ModelCard",
    "Predictor",
    "export",
    "export_decoder",
    "load_saved_model",
    "newest_version",
]
