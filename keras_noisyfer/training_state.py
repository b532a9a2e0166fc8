"""The file of a training run that can be gone on with."""

import json
import os
import pathlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_noisyfer.arguments import one_line
from keras_noisyfer.files import replacing
from keras_noisyfer.optimizers import optimizers_of
from keras_noisyfer.typing import PathLike

VERSION = 1
_HEADER = "training_state"
# NumPy's files do not know it; every value of it is a float32.
_AS_FLOAT32 = ("bfloat16",)


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """All variables of a compiled model and of its training, each once:
    weights, random states, optimizers and metrics."""
    variables = [
        *model.variables,
        *(each for one in optimizers_of(model) for each in one.variables),
        *model.metrics_variables,
    ]
    return list({id(each): each for each in variables}.values())


def describe_settings(model: keras.Model) -> Any:
    """What must be the same when training goes on, as JSON has it.

    Names are left out, since Keras numbers them anew in each process, and so
    is `on_nonfinite`: a run that a fault has stopped may go on without it.
    """
    settings = {
        "model": type(model).__name__,
        **model.get_config().get("config", model.get_config()),
        **(model.get_compile_config() or {}),
    }
    settings.pop("on_nonfinite", None)
    return json.loads(json.dumps(_without_names(settings), default=str))


def write_state(
    path: pathlib.Path, model: keras.Model, header: Mapping[str, Any]
) -> None:
    """Writes all variables of a model; the file is replaced as a whole.

    Args:
        path: `pathlib.Path` of the file.
        model: A compiled model.
        header: Dict of what else is kept, as JSON has it.

    Raises:
        OSError: if it cannot be written; one that exists is kept.
    """
    text = json.dumps({"version": VERSION, **header})
    values: dict[str, Any] = {_HEADER: text}
    for index, variable in enumerate(state_variables(model)):
        value = variable.numpy()
        if variable.dtype in _AS_FLOAT32:
            value = value.astype("float32")
        values[str(index)] = value
    for left in path.parent.glob(f"{path.name}.*.tmp"):
        # Of a process that was killed while it wrote.
        left.unlink(missing_ok=True)
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **values)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_state(path: PathLike) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Reads what `write_state` wrote.

    Returns:
        The header, a dict, and the values of the variables, a list.

    Raises:
        ValueError: if it is truncated or another file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file[_HEADER]))
            values = [file[str(i)] for i in range(len(file.files) - 1)]
        if header["version"] != VERSION:
            raise ValueError(f"version {header['version']}, not {VERSION}")
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        problem = " ".join(str(error).split())
        raise ValueError(
            f"{path} must be a whole file of ResumeTraining. Received: "
            f"{problem}"
        ) from error
    return header, values


def check_state(
    path: PathLike,
    model: keras.Model,
    settings: Any,
    header: Mapping[str, Any],
    values: Sequence[np.ndarray],
) -> None:
    """Raises `ValueError` of one line if a state is not that of a model."""
    for name, value in settings.items():
        kept = header["settings"].get(name)
        if kept != value:
            raise ValueError(
                f"{path} is of a run with other settings; another run needs "
                f"a file of its own. Received: {_difference(name, kept, value)}"
            )
    variables = state_variables(model)
    if len(values) != len(variables):
        raise ValueError(
            f"{path} must have a value for each of the model's "
            f"{len(variables)} variables. Received: {len(values)}"
        )
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise ValueError(
                f"{path} must have a value of shape {tuple(variable.shape)} "
                f"for {variable.path}. Received: shape={value.shape}"
            )


def assign_state(
    variables: Iterable[keras.Variable], values: Sequence[np.ndarray]
) -> None:
    """Puts values back into variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def check_folder(path: PathLike) -> None:
    """Raises `OSError` of one line if a file could not be written there."""
    path = pathlib.Path(path)
    probe = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            error.errno,
            f"`path` must be in a folder that can be written to. Received: "
            f"{path} ({error.strerror})",
        ) from error


# The last three are of a network, whose layers they name.
_NAMES = (
    "name",
    "shared_object_id",
    "keras_history",
    "input_layers",
    "output_layers",
)


def _without_names(value):
    if isinstance(value, dict):
        return {
            key: _without_names(each)
            for key, each in value.items()
            if key not in _NAMES
        }
    if isinstance(value, (list, tuple)):
        return [_without_names(each) for each in value]
    return value


def _difference(name, kept, value):
    """The first setting, within others, that is not the same."""
    if isinstance(kept, dict) and isinstance(value, dict):
        for key in [*kept, *value]:
            if kept.get(key) != value.get(key):
                return _difference(
                    f"{name}.{key}", kept.get(key), value.get(key)
                )
    value, kept = (one_line(repr(each), 120) for each in (value, kept))
    return f"{name}={value}, and in the file {kept}"
