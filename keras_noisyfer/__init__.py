"""Learning from noisy multi-task labels with Keras 3."""

import pkgutil

from keras_noisyfer.checkpoints import ChiefModelCheckpoint, ResumeTraining
from keras_noisyfer.lazy_names import lazy_names
from keras_noisyfer.mixup import Mixup
from keras_noisyfer.models import (
    AIR,
    CoTeaching,
    CrowdLayer,
    JointDistributionGAN,
    LTNet,
    MultiTaskModel,
)
from keras_noisyfer.networks import (
    Decoder,
    Discriminator,
    Encoder,
    load_release_weights,
)
from keras_noisyfer.numerical_fault import NumericalFault
from keras_noisyfer.optimizers import FusedAdam
from keras_noisyfer.regularizers import EarlyLearning
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

__version__ = "0.1.0"

# Imported when they are asked for: they need `tf.data`, or an extra.
_MODULES = {
    "LabelledImages": "datasets",
    "align_faces": "datasets",
    "annotator_models": "models.implied_confusion",
    "audit": "auditing",
    "compare": "comparison",
    "convert_images": "datasets",
    "crop_and_flip": "datasets",
    "export": "serving",
    "export_decoder": "serving",
    "face_affine": "datasets",
    "from_csv": "datasets",
    "from_dataframe": "datasets",
    "load_affectnet": "datasets",
    "load_cifar10": "datasets",
    "load_cifar10n": "datasets",
    "load_ferplus": "datasets",
    "load_label_studio": "datasets",
    "load_raf": "datasets",
    "make_dataset": "datasets",
    "relabel": "relabelling",
    "write_audit": "auditing",
}
# So are the modules and sub-packages themselves, such as `noise`.
_SUBMODULES = [module.name for module in pkgutil.iter_modules(__path__)]

__all__ = [
    "AIR",
    "CategoricalTask",
    "ChiefModelCheckpoint",
    "CoTeaching",
    "ContinuousTask",
    "CrowdLayer",
    "Decoder",
    "Discriminator",
    "EarlyLearning",
    "Encoder",
    "FusedAdam",
    "JointDistributionGAN",
    "LTNet",
    "Mixup",
    "MultiTaskModel",
    "NumericalFault",
    "ResumeTraining",
    "load_release_weights",
    *_MODULES,
]
__getattr__ = lazy_names(__name__, _MODULES, _SUBMODULES)


def __dir__():
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
