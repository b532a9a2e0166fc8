"""Labels in the formats of pandas, cleanlab and crowd-kit."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from keras_noisyfer.arguments import describe
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

    if TYPE_CHECKING:

        def with_labels(self, labels: dict[str, np.ndarray]) -> Self: ...

    def to_dataframe(self) -> pd.DataFrame:
        """The labels as a long table, one row a value.

        `from_dataframe` with each column for the key of its name, and
        `"clean": "clean"` if there are clean labels, gives the same labels
        back: all that there are, not images and annotators without any. Give
        `max_annotators=None`, too, if there are more than five annotators.

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
        streams, order = [], {}
        for task in self.tasks:
            streams += self._streams(task)
            order |= dict.fromkeys(who for _, who, _ in self._streams(task))
            if task.name in self.clean:
                streams.append((task, CLEAN, self.clean[task.name]))
        if CLEAN in order:
            raise ValueError(
                "`annotators` must not be called clean, as the truth is in a "
                f"table. Received: {list(order)}"
            )
        table = self._long(streams)
        table["annotator"] = pd.Categorical(
            table["annotator"], [*order, CLEAN], ordered=True
        )
        return table

    def to_cleanlab(self, task: str) -> pd.DataFrame:
        """The labels of a categorical task as `cleanlab.multiannotator` takes
        them: a row an image, a column an annotator, class ids, NaN where
        missing."""
        streams = self._streams(self._categorical(task))
        table = pd.DataFrame({who: e for _, who, e in streams}, self.names)
        return table.where(table >= 0).astype("float64")

    def to_crowdkit(self, task: str) -> pd.DataFrame:
        """The labels of a categorical task as crowd-kit's aggregators take
        them: columns `task`, the image's name, `worker` and `label`."""
        table = self._long(self._streams(self._categorical(task)))
        columns = {"image": "task", "annotator": "worker", "value": "label"}
        return table[[*columns]].rename(columns=columns)

    def without_labels(self, rows: pd.DataFrame) -> Self:
        """The same images without some of their labels, such as suspect ones.

        Args:
            rows: `pandas.DataFrame` with a row a label: `image`, its name,
                `task` and `annotator`, its name or number; as of
                `LabelAudit.suspects`.

        Raises:
            ValueError: if a row names no label of these images.

        Example:

        >>> found = audit(model, data)
        >>> cleaner = data.without_labels(found.suspects(100))
        """
        keys = ["image", "task", "annotator"]
        if not isinstance(rows, pd.DataFrame) or not {*keys} <= {*rows}:
            raise ValueError(
                f"`rows` must be a DataFrame with the columns {keys}. "
                f"Received: {describe(rows)}"
            )
        images = pd.Index(self.names)
        if not images.is_unique:
            raise ValueError(
                "The images must have different names. Received: "
                f"{images[images.duplicated()][0]} more than once"
            )
        rows, labels = rows[keys].astype(str), {}
        image = images.get_indexer(rows["image"])
        known = np.zeros(len(rows), bool)
        for task in self.tasks:
            labels[task.name] = given = np.array(
                annotator_axis(task, self.labels[task.name])
            )
            streams = pd.Index([who for _, who, _ in self._streams(task)])
            stream = streams.get_indexer(rows["annotator"])
            own = np.array(rows["task"] == task.name)
            own &= (image >= 0) & (stream >= 0)
            given[image[own], stream[own]] = float(task.missing_value)
            known |= own
        if not known.all():
            first = rows[~known].iloc[0].to_dict()
            raise ValueError(
                "`rows` must be labels of these images, tasks and annotators. "
                f"Received: {first}"
            )
        return self.with_labels(labels)

    def _categorical(self, name):
        found = [task for task in self.tasks if task.name == name]
        if not found or not isinstance(found[0], CategoricalTask):
            raise ValueError(
                "`task` must be the name of a categorical task: "
                f"{', '.join(t.name for t in self.tasks)}. Received: {name!r}"
            )
        return found[0]

    def _streams(self, task):
        """A tuple an annotator of a task: the task, the name, the labels."""
        labels = annotator_axis(task, self.labels[task.name])
        names = self.annotators.get(task.name, map(str, range(labels.shape[1])))
        return [
            (task, who, each)
            for who, each in zip(names, np.moveaxis(labels, 1, 0), strict=True)
        ]

    def _long(self, streams):
        """One row a label that is not missing, in the order of the images."""
        parts = []
        for task, who, values in streams:
            columns = {task.name: values}
            if values.ndim == 2:
                slots = [f"{task.name}.{each}" for each in task.dimensions]
                columns = dict(zip(slots, values.T, strict=True))
            names = getattr(task, "class_names", None)
            for what, column in columns.items():
                given = np.flatnonzero(~task.missing(column))
                cells = column[given].tolist()
                cells = [names[each] for each in cells] if names else cells
                rows = {"task": what, "annotator": who, "value": cells}
                parts.append(pd.DataFrame(rows, given, dtype=object))
        table = pd.concat(parts).sort_index(kind="stable")
        table.insert(0, "image", np.array(self.names, object)[table.index])
        return table.reset_index(drop=True)
