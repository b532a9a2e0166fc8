"""TFDS builders of faces that are not downloaded, over the same parser."""

import pathlib
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_noisyfer.datasets.faces.expressions import AFFECT_DIMENSIONS
from keras_noisyfer.datasets.report import ImportReport


class ManualFaces(  # type: ignore[call-arg]
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Builder of a data set of faces that lies in a folder of the user's.

    Nothing is downloaded. An example holds `image`, a JPEG image of the
    configuration's `image_size`; `file_name`, as in the label files; people's
    `expression`, a class id, and `affect`, valence and arousal; with `base`,
    in the training split, the machine's `machine_expression` and
    `machine_affect`. Missing are -1 and NaN. What was left out stands in
    `info.metadata["rejected"]`.

    Args:
        config: The data set's configuration.
        data_dir: Folder that the prepared files go to. The faces themselves
            go to `faces` in it, as those of the loader.
    """

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {
        "1.0.0": "First version.",
        "1.1.0": "Ids that count from another number are refused.",
        "1.2.0": "Faces are compressed once.",
    }
    # See `SyntheticFaces`.
    code_path = None
    configuration: Any = None

    def _info(self):
        config = self.builder_config
        if config is None:
            raise ValueError(
                f"`config` of {type(self).__name__} must say where the data "
                f"are: {self.configuration.__name__}(manual_dir=...). "
                f"{self.configuration.source}"
            )
        size = config.image_size
        labels = {
            "expression": tfds.features.Scalar(dtype=np.int64),
            "affect": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{config.title}, prepared from {config.manual_dir}.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(size, size, 3), encoding_format="jpeg"
                    ),
                    "file_name": tfds.features.Text(),
                    **labels,
                    **{f"machine_{key}": each for key, each in labels.items()},
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config
        report = ImportReport(config.on_error)
        # <data_dir>/<data set>/<configuration>/<version>
        root = pathlib.Path(self.data_dir).parents[2]
        faces = {
            name: config.prepare(name, split, report, root)
            for name, split in config.read(report).items()
        }
        self.info.metadata["rejected"] = report.entries
        self.info.metadata["notes"] = report.notes
        return {
            name: self._generate_examples(*each) for name, each in faces.items()
        }

    def _generate_examples(self, folder, faces):
        for name, face in faces.iterrows():
            example = {"image": str(folder / name), "file_name": name}
            for prefix in ("", "machine_"):
                affect = [
                    face.get(prefix + e, np.nan) for e in AFFECT_DIMENSIONS
                ]
                key = f"{prefix}expression"
                example[key] = int(face.get(key, -1))
                example[f"{prefix}affect"] = np.array(affect, "float32")
            yield name, example
