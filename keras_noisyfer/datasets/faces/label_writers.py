"""Labels of one more annotator, written next to those a data set has."""

import os
import pathlib
from collections.abc import Iterable, Sequence

from keras_noisyfer.datasets.faces.label_files import (
    write_raf_affect,
    write_raf_expressions,
)
from keras_noisyfer.datasets.faces.label_tables import write_affectnet_labels
from keras_noisyfer.typing import Labels, PathLike, Tasks


class LabelWriter:
    """Base of the writers; a subclass names the files and writes them.

    Args:
        folder: Folder of the label files.
        searched: Other folders that such files are read from.
    """

    # Names of the tasks that the format has; None: any.
    tasks: tuple[str, ...] | None = None
    # Those of them that cannot be left out, and why.
    required: tuple[str, ...] = ()
    reason: str | None = None

    def __init__(self, folder: PathLike, searched: Iterable[PathLike] = ()):
        self.folder = pathlib.Path(folder)
        self.searched = [pathlib.Path(each) for each in searched]

    def files(self, annotator: str) -> dict[str, str]:
        """Names of the files, by what they hold."""
        raise NotImplementedError

    def check(self, annotator: str, tasks: Iterable[str]) -> None:
        """Raises a `ValueError` if labels cannot be written, before any work.

        Args:
            annotator: Name of the annotator, part of the files' names.
            tasks: Names of the tasks.
        """
        if not isinstance(annotator, str) or not annotator.isidentifier():
            raise ValueError(
                "`name` must be letters, digits and underscores, since it "
                f"becomes part of a file name. Received: {annotator!r}"
            )
        known = self.tasks or tasks
        unknown = set(tasks) - set(known)
        if unknown:
            raise ValueError(
                f"The label files hold the tasks {', '.join(known)}. "
                f"Received: {', '.join(sorted(unknown))}"
            )
        if set(self.required) - set(tasks):
            raise ValueError(
                f"`tasks` must have {' and '.join(self.required)}, since "
                f"{self.reason}. Received: {', '.join(sorted(tasks))}"
            )
        # A file in any of the folders might be read in place of the new one.
        for folder in (self.folder, *self.searched):
            for name in self.files(annotator).values():
                if (folder / name).exists():
                    raise ValueError(
                        "`name` must be that of an annotator without label "
                        f"files. Received: {annotator!r}, whose "
                        f"{folder / name} exists"
                    )
        if not os.access(self.folder, os.W_OK):
            raise ValueError(
                f"{self.folder} must be a folder that can be written to"
            )

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        """Writes the labels.

        Args:
            annotator: Name of the annotator.
            names: Names of the images.
            tasks: Sequence of tasks.
            labels: Dict by task name of one annotator's labels, of shape
                `(n, 1)` or `(n, 1, dimensions)`.
        """
        raise NotImplementedError


class RafWriter(LabelWriter):
    """`list_label_<annotator>.txt` and `list_va_<annotator>.txt`."""

    tasks = ("expression", "affect")
    required = tasks
    reason = "`load_raf_base` reads a file of each"

    def files(self, annotator: str) -> dict[str, str]:
        return {
            "expression": f"list_label_{annotator}.txt",
            "affect": f"list_va_{annotator}.txt",
        }

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        files = self.files(annotator)
        for task, write in (
            ("expression", write_raf_expressions),
            ("affect", write_raf_affect),
        ):
            write(self.folder / files[task], names, labels[task][:, 0])


class AffectNetWriter(LabelWriter):
    """`training_<annotator>.csv` with AffectNet's columns.

    Args:
        table: Table of which the other columns are taken, or None.
    """

    tasks = ("expression", "affect")
    required = ("expression",)
    reason = "`load_affectnet_base` takes the machine's expressions only"

    def __init__(
        self,
        folder: PathLike,
        table: PathLike | None = None,
        searched: Iterable[PathLike] = (),
    ):
        super().__init__(folder, searched)
        self.table = table

    def files(self, annotator: str) -> dict[str, str]:
        return {"labels": f"training_{annotator}.csv"}

    def write(
        self, annotator: str, names: Sequence[str], tasks: Tasks, labels: Labels
    ) -> None:
        path = self.folder / self.files(annotator)["labels"]
        expressions = labels["expression"][:, 0]
        affect = labels["affect"][:, 0] if "affect" in labels else None
        write_affectnet_labels(path, names, expressions, affect, self.table)
