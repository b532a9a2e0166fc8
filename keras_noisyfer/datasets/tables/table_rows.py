"""The rows of a table of labels, gathered piece by piece in plain arrays."""

from typing import Any

import numpy as np
import pandas as pd

from keras_noisyfer.datasets.image_names import ImageFolder
from keras_noisyfer.datasets.tables.cells import cell_reader, cell_text
from keras_noisyfer.typing import PathLike


class ImageNames:
    """Numbers the images of a table in the order in which they come.

    Args:
        image_root: Absolute path of their folder.
    """

    def __init__(self, image_root: PathLike):
        self.folder = ImageFolder(image_root)
        self._numbers = {}

    @property
    def names(self) -> list[str]:
        """Their paths, relative to the folder and in one spelling."""
        return list(self._numbers)

    def __len__(self):
        return len(self._numbers)

    def number(self, cells: pd.Series) -> np.ndarray:
        """The number of each cell's image, -1 for an empty cell."""
        return _number(
            cells,
            self._numbers,
            # A folder may hold two files whose names look alike.
            lambda cell: self.folder.name(cell_text(cell, form=None)),
        )


def _number(cells, numbers, normalize):
    codes, different = pd.factorize(cells)
    found = np.full(len(different) + 1, -1, "int32")
    for index, cell in enumerate(different):
        text = normalize(cell)
        if text:
            found[index] = numbers.setdefault(text, len(numbers))
    # Code -1, an empty cell, takes the last.
    return found[codes]


class _Rows:
    """Gathers rows.

    Args:
        columns: `WideColumns` or `LongColumns`.
        tasks: Tuple of tasks.
        image_root: Absolute path of the images' folder.
        report: `ImportReport`.
        row_name: Function from a row's number to what it is called.
    """

    def __init__(self, columns, tasks, image_root, report, row_name):
        self.columns = columns
        self.tasks = tasks
        self.images = ImageNames(image_root)
        self.report = report
        self.row_name = row_name
        self._readers = {task.name: cell_reader(task) for task in tasks}
        self._widths = {
            task.name: len(getattr(task, "dimensions", "1")) for task in tasks
        }
        self._pieces = {}

    def tasks_with_ids(self):
        """Names of the tasks whose cells are class ids."""
        return [name for name, r in self._readers.items() if r.has_ids]

    def check_ids(self):
        """Raises a `ValueError` if class ids seem to begin at 1, or to be
        votes for the classes that their annotators are named after."""
        for name, reader in self._readers.items():
            reader.check_ids(self._annotator_names(name))

    def note_ids(self):
        """Notes, and warns of, class ids of which none is 0."""
        for reader in self._readers.values():
            reader.note_ids(self.report)

    def _keep(self, **arrays):
        for name, array in arrays.items():
            self._pieces.setdefault(name, []).append(array)

    def _joined(self, name):
        # Piece by piece, so that two copies of one column only are held.
        return np.concatenate(self._pieces.pop(name))

    def _reject(self, problems, cells, numbers):
        """Rejects rows; returns where there is none to reject."""
        good = np.ones(len(numbers), bool)
        if problems and self.report.on_error == "raise":
            # Before the first bad row says that it may be skipped.
            self.check_ids()
        for position in sorted(problems):
            good[position] = False
            image = cell_text(cells.iloc[position])
            entry = self.row_name(numbers[position])
            entry += f" ({image})" * bool(image)
            self.report.reject(entry, *problems[position])
        return good

    def _reject_duplicates(self, keys, images, numbers, alike):
        """Rejects all rows of a key but the first; returns the others."""
        # Sorting takes half of the memory that `duplicated` takes.
        ordered = np.sort(keys)
        if not (ordered[1:] == ordered[:-1]).any():
            return np.ones(len(keys), bool)
        duplicate = pd.Series(keys).duplicated().to_numpy()
        first, names = {}, self.images.names
        for row in np.flatnonzero(np.isin(keys, keys[duplicate])):
            earlier = first.setdefault(keys[row], row)
            if earlier != row:
                detail = f"see {self.row_name(numbers[earlier])}"
                same = alike(row, earlier)
                self.report.reject(
                    f"{self.row_name(numbers[row])} ({names[images[row]]})",
                    "duplicate row" if same else "conflicting duplicate row",
                    f"identical, {detail}" if same else detail,
                )
        return ~duplicate


class WideRows(_Rows):
    """Rows of one image each; the arguments are those of `_Rows`."""

    def add(self, frame: pd.DataFrame, numbers: np.ndarray) -> None:
        """Adds rows.

        Args:
            frame: `pandas.DataFrame` with the columns used.
            numbers: Integer array with one number a row.
        """
        problems = {}
        cells = frame[self.columns.image]
        images = self.images.number(cells)
        for position in np.flatnonzero(images < 0):
            problems[position] = ("no image name", "")

        def where(position):
            return self.row_name(numbers[position])

        def read(name, columns):
            values = np.empty((len(frame), len(columns)), "float32")
            for index, column in enumerate(columns):
                values[:, index], wrong = self._readers[name].read(
                    frame[column], where
                )
                for position, (problem, detail) in wrong.items():
                    detail = f"column {column}: {detail}"
                    problems.setdefault(position, (problem, detail))
            return values

        labels = {
            name: np.stack([read(name, each) for each in groups], axis=1)
            for name, groups in self.columns.labels.items()
        }
        clean = {
            f"clean {name}": read(name, columns)
            for name, columns in self.columns.clean.items()
        }
        empty = np.ones(len(frame), bool)
        for values in labels.values():
            empty &= np.isnan(values).all(axis=(1, 2))
        for position in np.flatnonzero(empty):
            problems.setdefault(position, ("no label", ""))
        good = self._reject(problems, cells, numbers)
        lost = sum(
            int((~np.isnan(values[~good]).all(axis=2)).sum())
            for values in labels.values()
        )
        if lost:
            note = "good labels in rows that were rejected, left out with them"
            self.report.notes[note] = self.report.notes.get(note, 0) + lost
        # No task has such a name.
        kept = {"of image": images, "of row": numbers, **labels, **clean}
        self._keep(**{name: array[good] for name, array in kept.items()})

    def finish(self) -> None:
        """Joins what was added and rejects images that are there twice."""
        arrays = {name: self._joined(name) for name in list(self._pieces)}
        images, numbers = arrays.pop("of image"), arrays.pop("of row")

        def alike(one, other):
            return all(
                np.array_equal(each[one], each[other], equal_nan=True)
                for each in arrays.values()
            )

        good = self._reject_duplicates(images, images, numbers, alike)
        self._row_images = images[good]
        self._values = {name: each[good] for name, each in arrays.items()}

    def has_label(self) -> np.ndarray:
        """Whether each image has a label, boolean."""
        found = np.zeros(len(self.images), bool)
        found[self._row_images] = True
        return found

    def labels(
        self, name: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        """The labels of a task.

        Returns:
            `(images, annotators, values, names)`: integer arrays of shape
            `(labels,)`, float32 array of shape `(labels, values)`, and the
            names of the annotators.
        """
        values = self._values[name]
        rows, annotators = np.nonzero(~np.isnan(values).all(axis=2))
        return (
            self._row_images[rows],
            annotators,
            values[rows, annotators],
            self._annotator_names(name),
        )

    def _annotator_names(self, name):
        return ["+".join(group) for group in self.columns.labels[name]]

    def has_clean(self, name: str) -> bool:
        """Whether there are clean labels of a task."""
        return name in self.columns.clean

    def clean(self, name: str) -> np.ndarray:
        """Clean labels of all images, `(images, values)`."""
        shape = (len(self.images), self._widths[name])
        values = np.full(shape, np.nan, "float32")
        values[self._row_images] = self._values[f"clean {name}"]
        return values


class LongRows(_Rows):
    """Rows of one label each; the arguments are those of `_Rows`."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._annotators = {}
        # Columns of a matrix with the values of all tasks side by side.
        starts = np.cumsum([0, *self._widths.values()])
        self._starts = dict(zip(self._widths, starts.tolist(), strict=False))
        self._rejected = set()

    def add(self, frame: pd.DataFrame, numbers: np.ndarray) -> None:
        """Adds rows.

        Args:
            frame: `pandas.DataFrame` with the columns used.
            numbers: Integer array with one number a row.
        """
        columns, problems = self.columns, {}
        cells = frame[columns.image]
        images = self.images.number(cells)
        annotators = _number(
            frame[columns.annotator], self._annotators, cell_text
        )
        slots = self._slots(frame, problems)
        for position in np.flatnonzero(annotators < 0):
            problems[position] = ("no annotator", f"in {columns.annotator}")
        for position in np.flatnonzero(images < 0):
            problems[position] = ("no image name", "")
        values = np.full(len(frame), np.nan, "float32")
        for task in self.tasks:
            begin = self._starts[task.name]
            own = np.flatnonzero(
                (slots >= begin) & (slots < begin + self._widths[task.name])
            )
            values[own], wrong = self._readers[task.name].read(
                frame[columns.value].iloc[own],
                lambda each, own=own: self.row_name(numbers[own[each]]),
            )
            for each, (problem, detail) in wrong.items():
                problems.setdefault(
                    own[each], (problem, f"{task.name}: {detail}")
                )
        good = self._reject(problems, cells, numbers)
        self._rejected.update(images[~good].tolist())
        good &= ~np.isnan(values)
        self._keep(
            images=images[good],
            annotators=annotators[good],
            slots=slots[good],
            values=values[good],
            numbers=numbers[good],
        )

    def _slots(self, frame, problems):
        known = {
            cell_text(text): self._starts[name] + index
            for text, (name, index) in self.columns.slots.items()
        }
        if self.columns.task is None:
            return np.full(len(frame), known[""], "int16")
        codes, different = pd.factorize(frame[self.columns.task])
        texts = [cell_text(cell) for cell in different] + [""]
        slots = np.array([known.get(t, -1) for t in texts], "int16")[codes]
        for position in np.flatnonzero(slots < 0):
            text = texts[codes[position]]
            problems[position] = (
                "unknown task",
                f"{text!r}; {self.columns.task} may be {', '.join(known)}",
            )
        return slots

    def finish(self) -> None:
        """Joins what was added and rejects labels that are there twice, and
        images without a label."""
        images = self._joined("images")
        annotators = self._joined("annotators")
        slots = self._joined("slots")
        values = self._joined("values")
        numbers = self._joined("numbers")
        # In place: each copy is 8 bytes a row of a file that may be huge.
        keys = images.astype("int64")
        keys *= max(len(self._annotators), 1)
        keys += annotators
        keys *= sum(self._widths.values())
        keys += slots
        good = self._reject_duplicates(
            keys, images, numbers, lambda a, b: values[a] == values[b]
        )
        del keys, numbers
        truth = np.zeros(len(images), bool)
        if self.columns.clean is not None:
            expert = cell_text(self.columns.clean)
            if expert not in self._annotators:
                raise ValueError(
                    "`columns['clean']` must be the name of an annotator in "
                    f"the table. Received: {self.columns.clean!r}"
                )
            truth = annotators == self._annotators[expert]
        self._arrays = (images, annotators, slots, values)
        self._given, self._truth = good & ~truth, good & truth
        for index in np.flatnonzero(~self.has_label()):
            if int(index) not in self._rejected:
                self.report.reject(self.images.names[index], "no label")

    def has_label(self) -> np.ndarray:
        """Whether each image has a label, boolean."""
        found = np.zeros(len(self.images), bool)
        found[self._arrays[0][self._given]] = True
        return found

    def _of_task(self, name, kept):
        """Image, annotator, dimension and value of the rows of a task."""
        images, annotators, slots, values = self._arrays
        begin = self._starts[name]
        kept = kept & (slots >= begin) & (slots < begin + self._widths[name])
        return (
            images[kept],
            annotators[kept],
            slots[kept] - begin,
            values[kept],
        )

    def labels(
        self, name: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        """The labels of a task, as those of `WideRows`."""
        images, annotators, dimensions, values = self._of_task(
            name, self._given
        )
        if self._widths[name] == 1:
            return images, annotators, values[:, None], list(self._annotators)
        # The rows of a label make one.
        count = max(len(self._annotators), 1)
        keys, label = np.unique(
            images.astype("int64") * count + annotators, return_inverse=True
        )
        table = np.full((len(keys), self._widths[name]), np.nan, "float32")
        table[label, dimensions] = values
        return keys // count, keys % count, table, list(self._annotators)

    def _annotator_names(self, name):
        truth = cell_text(self.columns.clean)
        return [each for each in self._annotators if each != truth]

    def has_clean(self, name: str) -> bool:
        """Whether there are clean labels of a task."""
        return len(self._of_task(name, self._truth)[0]) > 0

    def clean(self, name: str) -> np.ndarray:
        """Clean labels of all images, `(images, values)`."""
        images, _, dimensions, values = self._of_task(name, self._truth)
        shape = (len(self.images), self._widths[name])
        table = np.full(shape, np.nan, "float32")
        table[images, dimensions] = values
        return table
