"""Labels in the formats of pandas, cleanlab and crowd-kit."""

from typing import Any

import numpy as np
import pandas as pd

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
        order = list(dict.fromkeys(w for t in self.tasks for w in self._who(t)))
        if CLEAN in order:
            raise ValueError(
                "`annotators` must not be called clean, as the truth is in a "
                f"table. Received: {order}"
            )
        parts = []
        for task in self.tasks:
            given = (
                {CLEAN: self.clean[task.name]}
                if task.name in self.clean
                else {}
            )
            who = self._who(task)
            streams = self._streams(task)
            given |= {w: streams[:, i] for i, w in enumerate(who)}
            for annotator, values in given.items():
                if isinstance(task, CategoricalTask):
                    parts.append(self._rows(task.name, annotator, values, task))
                    continue
                for dimension, column in zip(
                    task.dimensions, values.T, strict=True
                ):
                    what = f"{task.name}.{dimension}"
                    parts.append(self._rows(what, annotator, column, task))
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
        own = self._categorical(task)
        labels = self._streams(own).astype("float64")
        labels[labels < 0] = np.nan
        return pd.DataFrame(labels, index=self.names, columns=self._who(own))

    def to_crowdkit(self, task: str) -> pd.DataFrame:
        """The labels of a categorical task as crowd-kit's aggregators take
        them: columns `task`, the image's name, `worker` and `label`."""
        own = self._categorical(task)
        streams = self._streams(own)
        parts = [
            self._rows(task, who, streams[:, index], own)
            for index, who in enumerate(self._who(own))
        ]
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
        """Labels with an annotator axis."""
        labels = self.labels[task.name]
        rank = 2 if isinstance(task, CategoricalTask) else 3
        return labels if labels.ndim == rank else labels[:, None]

    def _who(self, task):
        count = self._streams(task).shape[1]
        return self.annotators.get(task.name) or list(map(str, range(count)))

    def _rows(self, what, annotator, values, task):
        """Rows of one stream, without missing labels."""
        values = pd.Series(values)
        values = (
            values[values >= 0] if values.dtype.kind == "i" else values.dropna()
        )
        cells = values.tolist()
        if getattr(task, "class_names", None):
            cells = [task.class_names[each] for each in cells]
        return pd.DataFrame(
            {"task": what, "annotator": annotator, "value": cells},
            index=values.index,
            dtype=object,
        )
