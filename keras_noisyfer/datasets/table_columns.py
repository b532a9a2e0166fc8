"""Tables of labels: what their columns hold."""

import dataclasses
from typing import Any

import pandas as pd

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.table_cells import cell_text, named_after, texts
from keras_noisyfer.typing import Tasks

KEYS = ("image", "annotator", "task", "value", "clean")
FIELD = ("column", "task", "dimension", "annotator", "clean")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the columns of a table hold, see `from_dataframe`.

    `fields` are tuples of `FIELD`, one a column of labels, or where there is
    a column `task` one a text that may stand there in place of a column: the
    task's name, the index of the dimension, the annotator's name or None, and
    whether the labels count as the truth. The other attributes are columns,
    and `clean` the annotator whose labels count as the truth.
    """

    image: str
    fields: list[tuple[str, str, int, str | None, bool]]
    clean: str | None = None
    annotator: str | None = None
    task: str | None = None
    value: str | None = None

    @property
    def used(self) -> list[str]:
        """All columns, each once."""
        columns = [self.image, self.annotator, self.value, self.task]
        if self.task is None:
            columns += [field[0] for field in self.fields]
        return [column for column in dict.fromkeys(columns) if column]

    @property
    def annotators(self) -> dict[str, list[Any]] | None:
        """By task the annotators' names, in the order of their columns; None
        where the rows tell them."""
        names: dict[str, list[Any]] = {}
        for _, task, dimension, who, clean in self.fields:
            if not clean and dimension == 0:
                names.setdefault(task, []).append(who)
        return None if self.annotator else names

    def melt(self, frame: pd.DataFrame, problems: dict) -> pd.DataFrame:
        """The long table of the columns `used`, whose index is the rows'
        positions: one row a cell, with the columns `row`, `FIELD` and `value`.
        Adds `(problem, detail)` of bad rows to `problems`."""
        fields = pd.DataFrame(self.fields, columns=FIELD)
        if self.task is None:
            labels = {each: frame[each] for each in fields["column"].unique()}
            cells = pd.concat(labels, names=["column", "row"]).rename("value")
        else:
            what = texts(frame[self.task])
            known = one_line(", ".join(fields["column"]))
            for row, text in what[~what.isin(fields["column"])].items():
                detail = f"{text!r}; {self.task} may be {known}"
                problems.setdefault(row, ("unknown task", detail))
            cells = pd.DataFrame({"column": what, "value": frame[self.value]})
            cells = cells.rename_axis("row")
        cells = fields.merge(cells.reset_index(), on="column")
        if self.annotator is None:
            return cells
        who = texts(frame[self.annotator])
        for row in who.index[who == ""]:
            problems.setdefault(row, ("no annotator", f"in {self.annotator}"))
        # In the order of the categories, if they have one.
        if getattr(frame[self.annotator].dtype, "ordered", False):
            order = map(cell_text, [*frame[self.annotator].cat.categories, ""])
            order = pd.CategoricalDtype([*dict.fromkeys(order)], ordered=True)
            who = who.astype(order)
        cells["annotator"] = who[cells["row"]].array
        if self.clean is not None:
            cells["clean"] = cells["annotator"] == cell_text(self.clean)
            if not cells["clean"].any():
                raise ValueError(
                    "`columns['clean']` must be the name of an annotator in "
                    f"the table. Received: {self.clean!r}"
                )
        return cells


def parse_columns(columns: Any, tasks: Tasks) -> Columns:
    """Checks the `columns` of `from_dataframe` and `from_csv`, of which it
    makes `Columns`; a `ValueError` if they do not follow the grammar."""
    if not isinstance(columns, dict) or "image" not in columns:
        raise ValueError(
            "`columns` must be a dict with the key 'image'. "
            f"Received: {columns!r}"
        )
    names = [task.name for task in tasks]
    if set(names) & set(KEYS):
        raise ValueError(
            f"Tasks of a table must not be named {', '.join(KEYS)}, the "
            f"keys of `columns`. Received: {one_line(', '.join(names))}"
        )
    is_long = not columns.keys().isdisjoint(("task", "value"))
    one_each = "annotator" in columns
    required = ["image", "annotator", "value"] if is_long else ["image", *names]
    optional = ["task" if is_long else "annotator", "clean"]
    if not set(required) <= columns.keys() <= {*required, *optional}:
        raise ValueError(
            f"`columns` must have the keys {', '.join(required)}, and may "
            f"have {', '.join(optional)}. "
            f"Received: {', '.join(map(str, columns))}"
        )
    for key in KEYS[: 4 + one_each]:
        if not isinstance(columns.get(key, ""), str):
            raise ValueError(
                f"`columns['{key}']` must be a string. "
                f"Received: {columns[key]!r}"
            )
    if is_long:
        return Columns(fields=_long_fields(columns, tasks), **columns)
    clean = {} if one_each else columns.get("clean", {})
    if not isinstance(clean, dict) or not clean.keys() <= set(names):
        raise ValueError(
            "`columns['clean']` must be a dict by task name of columns. "
            f"Received: {clean!r}"
        )
    fields: list[Any] = []
    for task in tasks:
        argument, given = f"columns['{task.name}']", columns[task.name]
        groups = _groups(argument, task, given, one_each)
        used = [column for group in groups for column in group]
        if len(set(used)) != len(used):
            raise ValueError(
                f"`{argument}` must name each column once. Received: {given!r}"
            )
        for group in groups:
            who = None if one_each else "+".join(group)
            fields += _fields(task, group, who)
        if task.name in clean:
            truth, given = f"columns['clean']['{task.name}']", clean[task.name]
            (group,) = _groups(truth, task, given, True)
            if set(used) & set(group):
                raise ValueError(
                    f"`{truth}` must be columns that are none of "
                    f"`{argument}`: labels that are their own "
                    f"truth have no noise. Received: {given!r}"
                )
            fields += _fields(task, group, None, True)
    truth = columns.get("clean") if one_each else None
    return Columns(columns["image"], fields, truth, columns.get("annotator"))


def _fields(task, group, annotator, clean=False):
    return [
        (column, task.name, dimension, annotator, clean)
        for dimension, column in enumerate(group)
    ]


def _groups(argument, task, given, single):
    """One tuple of columns an annotator."""
    groups = [given] if isinstance(given, str) else given
    dimensions = getattr(task, "dimensions", None)
    width = len(dimensions or "1")
    if isinstance(groups, (list, tuple)) and groups:
        if all(isinstance(each, str) for each in groups):
            flat = tuple(groups)
            groups = [(each,) for each in flat] if width == 1 else [flat]
        if all(
            isinstance(group, (list, tuple))
            and len(group) == width
            and all(isinstance(each, str) for each in group)
            for group in groups
        ):
            for group in groups:
                _check_order(argument, group, dimensions or ())
            if single and len(groups) != 1:
                raise ValueError(
                    f"`{argument}` must be the columns of one label. "
                    f"Received: {given!r}"
                )
            return [tuple(group) for group in groups]
    expected = "a column, or a list of columns, one an annotator"
    if width > 1:
        expected = (
            f"{width} columns ({', '.join(dimensions)}), or a list of such "
            "groups, one an annotator"
        )
    raise ValueError(f"`{argument}` must be {expected}. Received: {given!r}")


def _check_order(argument, group, dimensions):
    """Raises a `ValueError` if columns are those of other dimensions."""
    named = [named_after(column, dimensions) for column in group]
    known = [each for each in named if each is not None]
    if len(set(known)) == len(known) and any(
        each not in (None, index) for index, each in enumerate(named)
    ):
        raise ValueError(
            f"`{argument}` must name the columns in the order of the "
            f"dimensions: {', '.join(dimensions)}. "
            f"Received: {one_line(', '.join(group))}"
        )


def _long_fields(columns, tasks):
    """Fields of what a column of tasks may hold, or of the one value."""
    used = [column for key, column in columns.items() if key != "clean"]
    if len(set(used)) < len(used):
        raise ValueError(
            f"`columns` must name each column once. Received: {', '.join(used)}"
        )
    if "task" not in columns:
        if len(tasks) == 1 and len(getattr(tasks[0], "dimensions", "1")) == 1:
            return _fields(tasks[0], [columns["value"]], None)
        raise ValueError(
            "`columns` must have the key 'task' unless there is one task "
            f"with one value. Received: {columns}"
        )
    fields, bare = [], []
    for task in tasks:
        dimensions = getattr(task, "dimensions", ())
        slots = [f"{task.name}.{each}" for each in dimensions] or [task.name]
        fields += _fields(task, map(cell_text, slots), None)
        bare += _fields(task, map(cell_text, dimensions), None)
    # A dimension's name alone will do where it can mean one thing only.
    taken = [*(task.name for task in tasks), *(each[0] for each in bare)]
    return fields + [each for each in bare if taken.count(each[0]) == 1]
