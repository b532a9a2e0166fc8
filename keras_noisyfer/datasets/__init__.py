"""Data sets, each ending in the data contract."""

from keras_noisyfer.lazy_names import lazy_names

# Imported when they are asked for: TFDS and pandas take seconds.
_MODULES = {
    "AFFECT": "synthetic_faces",
    "AffectNet": "faces.affectnet",
    "EXPRESSIONS": "synthetic_faces",
    "ImageArray": "image_sources",
    "ImageFiles": "image_sources",
    "ImportReport": "report",
    "LabelledImages": "labelled_images",
    "ON_ERROR": "report",
    "READABLE_EXTENSIONS": "image_files",
    "RafDb": "faces.raf",
    "SyntheticFaces": "synthetic_faces",
    "SyntheticFacesConfig": "synthetic_faces",
    "align_faces": "faces.alignment",
    "check_image_files": "image_files",
    "convert_images": "conversion",
    "crop_and_flip": "augmentation",
    "draw_faces": "synthetic_faces",
    "face_affine": "augmentation",
    "from_csv": "table",
    "from_dataframe": "table",
    "list_images": "image_files",
    "load_affectnet": "faces.affectnet",
    "load_cifar10": "cifar10",
    "load_cifar10n": "cifar10n",
    "load_ferplus": "ferplus",
    "load_label_studio": "label_studio",
    "load_raf": "faces.raf",
    "load_synthetic_faces": "synthetic_faces",
    "make_dataset": "arrays",
    "read_eyes": "faces.alignment",
}

__all__ = [*_MODULES]
__getattr__ = lazy_names(__name__, _MODULES)


def __dir__():
    return sorted({*globals(), *_MODULES})
