"""What a loader left out of a data set, and why."""

import collections
import csv
import pathlib
from typing import Any, Self

from keras_noisyfer.arguments import check_choice, one_line
from keras_noisyfer.files import spreadsheet_cell
from keras_noisyfer.typing import PathLike

ON_ERROR = ("raise", "skip")


class ImportReport:
    """Raises at the first bad entry, or counts and lists all of them.

    Args:
        on_error: `"raise"`: `reject` raises a `ValueError`. `"skip"`:
            `reject` adds the entry to the report.

    Attributes:
        accepted: Number of images that were accepted, set by the loader.
        counts: Dict by problem of the number of rejected entries.
        entries: List of `(entry, problem, detail)`, strings; an entry is the
            image's name, or the row of the table.
        notes: Dict by description of numbers worth knowing, no rejections.

    Example:

    >>> data = from_csv("pets.csv", "pets", tasks, columns, on_error="skip")
    >>> print(data.report)
    accepted: 996 images
    rejected: 3 truncated file (first: row 18 (cat_17.jpg))
    rejected: 1 missing image (first: row 41 (cat_40.jpg))
    """

    def __init__(self, on_error: str = "raise"):
        check_choice("on_error", on_error, ON_ERROR)
        self.on_error = on_error
        self.accepted = 0
        self.counts = collections.Counter()
        self.entries = []
        self.notes = {}

    def reject(self, entry: str, problem: str, detail: str = "") -> None:
        """Leaves out an entry, an image or a row of a table, or raises a
        `ValueError`. `problem` is the same for all entries of a kind, `detail`
        what is known about this one."""
        # Names are chosen by others, with line breaks or a megabyte long.
        detail = one_line(detail)
        if self.on_error == "raise":
            raise ValueError(
                f"{one_line(entry)}: {problem}"
                + f" ({detail})" * bool(detail)
                + '. With `on_error="skip"` it is left out and counted'
            )
        self.counts[problem] += 1
        self.entries.append((str(entry), problem, detail))

    def extend(self, other: Self) -> None:
        """Adds the entries and notes of another report to this one."""
        self.counts.update(other.counts)
        self.entries.extend(other.entries)
        self.notes.update(other.notes)

    def write_csv(self, path: PathLike) -> pathlib.Path:
        """Writes one line a rejected entry: entry, problem, detail. Cells that
        a spreadsheet would compute begin with an apostrophe."""
        # Names on disk need not be text.
        options: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
        with open(path, "w", newline="", **options) as file:
            writer = csv.writer(file)
            writer.writerow(("entry", "problem", "detail"))
            writer.writerows(map(spreadsheet_cell, row) for row in self.entries)
        return pathlib.Path(path)

    def __str__(self):
        first = {}
        for entry, problem, _ in self.entries:
            first.setdefault(problem, one_line(entry))
        lines = [f"accepted: {self.accepted:,} images"]
        lines += [
            f"rejected: {count:,} {problem} (first: {first[problem]})"
            for problem, count in self.counts.most_common()
        ]
        lines += [f"{name}: {value:,}" for name, value in self.notes.items()]
        return "\n".join(lines)
