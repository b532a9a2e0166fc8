"""Labels in the formats of pandas, cleanlab and crowd-kit."""

from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.tasks import CategoricalTask

CLEAN = "clean"


class Exchange:
    """What `LabelledImages` gives to other libraries."""

    names: list[str]
    tasks: Any
    labels: dict[str, np.ndarray]
    clean: dict[str, np.ndarray]
    annotators: dict[str, list[str]]

    def to_dataframe(self) -> pd.DataFrame:
        """The labels as a long table, one row a value.

        `from_dataframe` with each column for the key of its name, and
        `"clean": "clean"` if there are clean labels, gives the same labels
        back: all that there are, not images and annotators without any.

        Returns:
            A `pandas.DataFrame` with the columns `image`, its name; `task`,
            its name, `affect.valence` for a value of several; `annotator`,
            its name or number, ordered as the streams, or `clean`; and
            `value`, a class name, a class id where classes have no names, or
            a number.

        Raises:
            ValueError: if an annotator is called `clean`.

        Example:

        >>> table = data.to_dataframe()
        >>> keys = ("image", "annotator", "task", "value")
        >>> columns = {key: key for key in keys} | {"clean": "clean"}
        >>> same = from_dataframe(table, "faces", data.tasks, columns)
        """
        order = list(
            dict.fromkeys(w for t in self.tasks for w, _ in self._streams(t))
        )
        if CLEAN in order:
            raise ValueError(
                "`annotators` must not be called clean, as the truth is in a "
                f"table. Received: {order}"
            )
        parts = []
        for task in self.tasks:
            streams = dict(self._streams(task))
            if task.name in self.clean:
                streams[CLEAN] = self.clean[task.name]
            for who, values in streams.items():
                columns = {task.name: values}
                if values.ndim == 2:
                    slots = [f"{task.name}.{each}" for each in task.dimensions]
                    columns = dict(zip(slots, values.T, strict=True))
                for what, column in columns.items():
                    parts.append(_rows(task, what, who, column))
        table = pd.concat(parts).sort_index(kind="stable")
        table.insert(0, "image", np.array(self.names, object)[table.index])
        table["annotator"] = pd.Categorical(
            table["annotator"], [*order, CLEAN], ordered=True
        )
        return table.reset_index(drop=True)

    def to_cleanlab(self, task: str) -> pd.DataFrame:
        """The labels of a categorical task as `cleanlab.multiannotator` takes
        them: a row an image, a column an annotator, class ids, NaN where
        missing."""
        streams = dict(self._streams(self._categorical(task)))
        table = pd.DataFrame(streams, index=self.names)
        return table.where(table >= 0).astype("float64")

    def to_crowdkit(self, task: str) -> pd.DataFrame:
        """The labels of a categorical task as crowd-kit's aggregators take
        them: columns `task`, the image's name, `worker` and `label`."""
        own = self._categorical(task)
        parts = [_rows(own, task, who, e) for who, e in self._streams(own)]
        table = pd.concat(parts).sort_index(kind="stable")
        return pd.DataFrame(
            {
                "task": np.array(self.names, object)[table.index],
                "worker": table["annotator"].to_numpy(),
                "label": table["value"].to_numpy(),
            }
        )

    def _categorical(self, name):
        found = [task for task in self.tasks if task.name == name]
        if not found or not isinstance(found[0], CategoricalTask):
            raise ValueError(
                "`task` must be the name of a categorical task: "
                f"{', '.join(t.name for t in self.tasks)}. Received: {name!r}"
            )
        return found[0]

    def _streams(self, task):
        """Pairs of an annotator's name and labels."""
        labels = annotator_axis(task, self.labels[task.name])
        names = self.annotators.get(task.name, map(str, range(labels.shape[1])))
        return list(zip(names, np.moveaxis(labels, 1, 0), strict=True))


def _rows(task, what, annotator, values):
    """Rows of one column of labels, without missing ones, by image."""
    cells = pd.Series(values)
    cells = cells[cells >= 0] if cells.dtype.kind == "i" else cells.dropna()
    names = getattr(task, "class_names", None)
    content = [names[each] for each in cells] if names else cells.tolist()
    return pd.DataFrame(
        {"task": what, "annotator": annotator, "value": content},
        index=cells.index,
        dtype=object,
    )
