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
# Mixup's, as that of the library's methods.
ALPHA = 0.4
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


def combine(key, title, loss=None, mixes=True, joint=JointDistributionGAN, **w):
    """Registers the joint distribution with other remedies; `joint` is the
    class of the model, and what follows are arguments of it."""

    def make_model(encoder, data, options):
        mixup = Mixup(ALPHA, seed=options["seed"]) if mixes else None
        names = "gamma lambda_joint warmup_epochs joint_every seed".split()
        told = {name: options[name] for name in names}
        return joint(encoder, mixup=mixup, **told | w)

    method(key, title, loss=loss)(make_model)


# The experiment has its weights averaged.
sce_mixup = METHODS["sce-mixup"].make_model
method("sce-mixup-averages", "SCE, mixup, averages", loss=SCE)(sce_mixup)
combine("joint-mixup", "GAN and mixup")
combine("joint-sce-mixup", "GAN, SCE, mixup", SCE)
combine("joint-gce-mixup", "GAN, GCE, mixup", GCE)
combine("calm-sce-mixup", "Calm GAN, SCE, mixup", SCE, **CALM)
combine("calm-gce-mixup", "Calm GAN, GCE, mixup", GCE, **CALM)
combine(
    "joint-sce-probabilities",
    "GAN on probabilities, SCE",
    SCE,
    mixes=False,
    joint=ProbabilityGAN,
)
