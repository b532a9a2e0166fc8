"""The loaders that are fed with damaged files.

A target is made in an empty folder. It has `files`, a list of paths with the
function that damages them, and `load`, which reads them all.
"""

from image_targets import (
    ImageFolders,
    Images,
    KerasModels,
    Predictions,
    ReleaseWeights,
    ServedBytes,
)
from label_targets import (
    AffectNetArrays,
    AffectNetDataSet,
    AffectNetTables,
    Cifar10,
    Cifar10N,
    FerPlusFolder,
    FerPlusTables,
    GivenTasks,
    LabelStudio,
    LongTable,
    RafDataSet,
    RafLists,
    Results,
    WideTable,
)

# Those of a group share a process.
GROUPS = {
    "tables": [WideTable, LongTable, GivenTasks, LabelStudio, Results],
    "faces": [RafLists, AffectNetTables, AffectNetArrays],
    "data_sets": [
        RafDataSet,
        AffectNetDataSet,
        FerPlusTables,
        FerPlusFolder,
        Cifar10,
        Cifar10N,
    ],
    "images": [Images, ImageFolders, Predictions, ServedBytes],
    "models": [ReleaseWeights, KerasModels],
}
