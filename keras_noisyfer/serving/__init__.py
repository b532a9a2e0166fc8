"""Taking the trained networks to where they are used."""

from keras_noisyfer.serving.export import FORMATS, export, export_decoder
from keras_noisyfer.serving.model_card import ModelCard
from keras_noisyfer.serving.photographs import (
    crop_face,
    find_eyes,
    find_faces,
    plot_faces,
)
from keras_noisyfer.serving.predictor import (
    Predictor,
    load_saved_model,
    newest_version,
)

__all__ = [
    "FORMATS",
    "ModelCard",
    "Predictor",
    "crop_face",
    "export",
    "export_decoder",
    "find_eyes",
    "find_faces",
    "load_saved_model",
    "newest_version",
    "plot_faces",
]
