"""Learning from noisy multi-task labels with Keras 3."""

import importlib
import pkgutil

from keras_noisyfer.checkpoints import (
    ChiefModelCheckpoint as ChiefModelCheckpoint,
)
from keras_noisyfer.checkpoints import ResumeTraining as ResumeTraining
from keras_noisyfer.mixup import Mixup as Mixup
from keras_noisyfer.models import AIR as AIR
from keras_noisyfer.models import CoTeaching as CoTeaching
from keras_noisyfer.models import CrowdLayer as CrowdLayer
from keras_noisyfer.models import JointDistributionGAN as JointDistributionGAN
from keras_noisyfer.models import LTNet as LTNet
from keras_noisyfer.models import MultiTaskModel as MultiTaskModel
from keras_noisyfer.networks import Decoder as Decoder
from keras_noisyfer.networks import Discriminator as Discriminator
from keras_noisyfer.networks import Encoder as Encoder
from keras_noisyfer.networks import (
    load_release_weights as load_release_weights,
)
from keras_noisyfer.numerical_fault import NumericalFault as NumericalFault
from keras_noisyfer.optimizers import FusedAdam as FusedAdam
from keras_noisyfer.regularizers import EarlyLearning as EarlyLearning
from keras_noisyfer.tasks import CategoricalTask as CategoricalTask
from keras_noisyfer.tasks import ContinuousTask as ContinuousTask

__version__ = "0.1.0"

# Imported when they are asked for: they need `tf.data`, or an extra.
_MODULES = {
    "LabelledImages": "datasets.labelled_images",
    "annotator_models": "models.implied_confusion",
    "align_faces": "datasets.faces.alignment",
    "audit": "auditing.audit",
    "compare": "comparison.choice",
    "convert_images": "datasets.conversion",
    "crop_and_flip": "datasets.augmentation",
    "export": "serving.export",
    "export_decoder": "serving.export",
    "face_affine": "datasets.augmentation",
    "from_csv": "datasets.table",
    "from_dataframe": "datasets.table",
    "load_affectnet": "datasets.faces.affectnet",
    "load_affectnet_base": "datasets.faces.affectnet",
    "load_cifar10": "datasets.cifar10",
    "load_cifar10n": "datasets.cifar10n",
    "load_ferplus": "datasets.ferplus",
    "load_label_studio": "datasets.label_studio",
    "load_raf": "datasets.faces.raf",
    "load_raf_base": "datasets.faces.raf",
    "make_dataset": "datasets.labelled_images",
    "relabel": "relabelling",
    "write_audit": "auditing.page",
}
# So are the modules and sub-packages themselves, such as `noise`.
_SUBMODULES = [module.name for module in pkgutil.iter_modules(__path__)]


def __getattr__(name):
    if name not in _MODULES and name not in _SUBMODULES:
        raise AttributeError(f"keras_noisyfer has no attribute {name!r}")
    try:
        module = importlib.import_module(
            f"{__name__}.{_MODULES.get(name, name)}"
        )
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tensorflow"):
            raise
        raise ModuleNotFoundError(
            f"keras_noisyfer.{name} needs TensorFlow, on every backend. "
            f"Not installed: {error.name}",
            name=error.name,
        ) from error
    return getattr(module, name) if name in _MODULES else module


def __dir__():
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
