"""Learning from noisy multi-task labels with Keras 3."""

from keras_noisyfer.checkpoints import (
    ChiefModelCheckpoint as ChiefModelCheckpoint,
)
from keras_noisyfer.datasets.augmentation import crop_and_flip as crop_and_flip
from keras_noisyfer.datasets.augmentation import face_affine as face_affine
from keras_noisyfer.datasets.cifar10 import load_cifar10 as load_cifar10
from keras_noisyfer.datasets.cifar10n import load_cifar10n as load_cifar10n
from keras_noisyfer.datasets.conversion import convert_images as convert_images
from keras_noisyfer.datasets.faces.affectnet import (
    load_affectnet as load_affectnet,
)
from keras_noisyfer.datasets.faces.affectnet import (
    load_affectnet_base as load_affectnet_base,
)
from keras_noisyfer.datasets.faces.alignment import align_faces as align_faces
from keras_noisyfer.datasets.faces.raf import load_raf as load_raf
from keras_noisyfer.datasets.faces.raf import load_raf_base as load_raf_base
from keras_noisyfer.datasets.ferplus import load_ferplus as load_ferplus
from keras_noisyfer.datasets.labelled_images import (
    LabelledImages as LabelledImages,
)
from keras_noisyfer.datasets.labelled_images import make_dataset as make_dataset
from keras_noisyfer.datasets.tables.loaders import from_csv as from_csv
from keras_noisyfer.datasets.tables.loaders import (
    from_dataframe as from_dataframe,
)
from keras_noisyfer.export import export_saved_model as export_saved_model
from keras_noisyfer.models import (
    AuxiliaryImageRegularizer as AuxiliaryImageRegularizer,
)
from keras_noisyfer.models import CoTeaching as CoTeaching
from keras_noisyfer.models import (
    EarlyLearningRegularizer as EarlyLearningRegularizer,
)
from keras_noisyfer.models import JointDistributionGAN as JointDistributionGAN
from keras_noisyfer.models import LTNet as LTNet
from keras_noisyfer.models import MultiTaskClassifier as MultiTaskClassifier
from keras_noisyfer.networks import Decoder as Decoder
from keras_noisyfer.networks import Discriminator as Discriminator
from keras_noisyfer.networks import Encoder as Encoder
from keras_noisyfer.networks import (
    load_release_weights as load_release_weights,
)
from keras_noisyfer.optimizers import FusedAdam as FusedAdam
from keras_noisyfer.relabelling import relabel as relabel
from keras_noisyfer.tasks import CategoricalTask as CategoricalTask
from keras_noisyfer.tasks import ContinuousTask as ContinuousTask

__version__ = "0.1.0"
