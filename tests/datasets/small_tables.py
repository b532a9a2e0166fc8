"""What the tests of the tables share: tasks, columns and a small table."""

import numpy as np
import pandas as pd

from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

NAMES = ("neutral", "happy", "sad")
EXPRESSION = CategoricalTask("expression", class_names=NAMES)
IDS = CategoricalTask("expression", num_classes=3)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
NAN = np.nan

ONE = {"image": "file", "expression": "ann"}
SINGLE = {"image": "file", "annotator": "who", "value": "said"}


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def wide_frame():
    return pd.DataFrame(
        {
            "file": ["b.png", "a.png", "c.png"],
            "ann": ["happy", "sad", None],
            "v": [0.1, 0.2, 0.3],
            "a": [0.4, 0.5, NAN],
            "other": [1, 2, 3],
        }
    )
