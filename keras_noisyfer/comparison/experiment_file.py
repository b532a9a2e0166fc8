"""Reads an experiment from a TOML file.

`recipes/experiments` has the paper's tables.
"""

import functools
import os
import pathlib
import sys
import tomllib

from keras_noisyfer.arguments import check_choice, one_line
from keras_noisyfer.comparison.experiment import (
    Experiment,
    Profile,
    Setting,
    check_table,
)
from keras_noisyfer.typing import PathLike


def read_experiment(path: PathLike, profile: str = "small") -> Experiment:
    """The `Experiment` that a TOML file describes.

    Its keys are the attributes of `Experiment`, `settings` an array of tables
    with those of `Setting`, and `profiles` a table by name of tables with
    those of `Profile`. What stands in a file that the key `extends` names,
    each profile for itself, holds where the file itself says nothing; likewise
    in a profile, of which it names another one.

    Args:
        path: The file.
        profile: Name of one of its profiles.

    Returns:
        An `Experiment`.

    Raises:
        ValueError: if the file is missing or wrong, or has no such profile.

    Example:

    >>> experiment = read_experiment("recipes/experiments/table1.toml")
    >>> run_experiment(experiment, "runs/cifar10", data={"path": "cifar10.npz"})
    """
    path = pathlib.Path(path)
    try:
        # Of a link, what it extends is beside the link.
        content = _extended(_read, pathlib.Path(os.path.abspath(path)))
        profiles = content.pop("profiles", {})
        settings = content.pop("settings", [])
        check_table("profiles", profiles)
        if not isinstance(settings, list) or not settings:
            raise ValueError(
                "`settings` must be tables, at least one, unless the file is "
                f"there to be extended. Received: {settings!r}"
            )
        for each in settings:
            check_table("settings", each)
        settings = [Setting(**each) for each in settings]
        check_choice("profile", profile, profiles)
        values = _extended(functools.partial(_profile, profiles), profile)
        return Experiment(
            **{
                "name": path.stem,
                **content,
                "profile": Profile(**values),
                "settings": settings,
            }
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be an experiment. Received: {one_line(error, 1000)}"
        ) from error


def _read(path):
    with open(path, "rb") as file:
        content = tomllib.load(file)
    if content.get("imports"):
        # Modules may lie beside the file that names them.
        sys.path.append(str(path.parent.resolve()))
    if "extends" in content:
        if not content["extends"] or not isinstance(content["extends"], str):
            raise ValueError(
                f"`extends` must be a file. Received: {content['extends']!r}"
            )
        base = os.path.abspath(path.parent / content["extends"])
        content["extends"] = pathlib.Path(base)
    return content


def _profile(profiles, name):
    check_choice("extends", name, profiles)
    check_table(f"profiles.{name}", profiles[name])
    return dict(profiles[name])


def _extended(read, key, below=()):
    """What is read of a key, and where that is silent of what it extends."""
    if key in below:
        raise ValueError(f"`extends` must not lead back. Received: {key}")
    content = read(key)
    base = content.pop("extends", None)
    if base is None:
        return content
    base = _extended(read, base, (*below, key))
    if "profiles" in base and isinstance(content.get("profiles"), dict):
        content["profiles"] = {**base["profiles"], **content["profiles"]}
    return {**base, **content}
