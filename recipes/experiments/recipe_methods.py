"""Remedies together, for `best_recipe.toml`."""

import keras

from keras_noisyfer.comparison import METHODS, method
from keras_noisyfer.losses import (
    SparseGeneralizedCrossentropy,
    SparseSymmetricCrossentropy,
)
from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import JointDistributionGAN

GCE, SCE = SparseGeneralizedCrossentropy, SparseSymmetricCrossentropy
GAN = METHODS["proposed"]
# Mixup's, as that of the library's methods.
ALPHA = 0.4
# The decoder's terms, as those of `recipes/decoder.py`.
DRAWS = {
    "reconstruction_weight": 20.0,
    "kl_weight": 1e-3,
    "auxiliary_weight": 0.5,
}
# A game that the generators do not lose: no decoder, a weak pull.
CALM = {"use_decoder": False, "lambda_joint": 0.3}


@keras.saving.register_keras_serializable(package="recipes")
class ProbabilityGAN(JointDistributionGAN):
    """Its discriminator sees probabilities in place of raw outputs."""

    def make_tuples(self, *arguments, **options):
        outputs, encoded, decoded = super().make_tuples(*arguments, **options)
        labels = {
            task.name: task.activate(encoded["labels"][task.name])
            for task in self.tasks
        }
        return outputs, {**encoded, "labels": labels}, decoded


def combine(key, title, loss=None, mixes=True, **arguments):
    """Registers the joint distribution with other remedies, and with what
    follows as arguments of the model."""

    def make_model(encoder, data, options):
        mixup = Mixup(ALPHA, seed=options["seed"]) if mixes else None
        return GAN.make_model(encoder, data, options, mixup=mixup, **arguments)

    method(key, title, loss=loss, options=GAN.options)(make_model)


# The experiment has its weights averaged.
sce_mixup = METHODS["sce-mixup"].make_model
method("sce-mixup-averages", "SCE, mixup, averages", loss=SCE)(sce_mixup)
combine("joint-mixup", "GAN and mixup")
combine("joint-sce-mixup", "GAN, SCE, mixup", SCE)
combine("joint-gce-mixup", "GAN, GCE, mixup", GCE)
combine("calm-sce-mixup", "Calm GAN, SCE, mixup", SCE, **CALM)
combine("calm-gce-mixup", "Calm GAN, GCE, mixup", GCE, **CALM)
for key, title, arguments in (
    ("joint-sce", "GAN, SCE", {"loss": SCE}),
    (
        "joint-sce-probabilities",
        "GAN on probabilities, SCE",
        {"loss": SCE, "model": ProbabilityGAN},
    ),
    ("joint-ramp", "GAN, ramp", {"ramp_epochs": 6}),
    ("joint-moments", "GAN, other moments", {}),
    (
        "joint-reconstruction",
        "GAN, reconstruction",
        {"reconstruction_weight": 10.0},
    ),
    ("joint-draws", "GAN that draws", DRAWS),
    ("joint-draws-sce", "GAN that draws, SCE", {"loss": SCE, **DRAWS}),
    (
        "joint-draws-sce-probabilities",
        "GAN that draws, on probabilities, SCE",
        {"loss": SCE, "model": ProbabilityGAN, **DRAWS},
    ),
):
    combine(key, title, mixes=False, **arguments)
