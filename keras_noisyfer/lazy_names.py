"""Public names of a package that are imported when they are asked for."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, str], others: Iterable[str] = ()
) -> Callable[[str], Any]:
    """Makes the `__getattr__` of a package, which imports what needs
    `tf.data` or an extra.

    Args:
        package: Name of the package.
        modules: Dict by public name of the module that has it, relative to
            `package`.
        others: Names of modules and sub-packages that are public themselves.

    Returns:
        A function that takes the place of the package's `__getattr__`.
    """

    def get(name: str) -> Any:
        if name not in modules and name not in others:
            raise AttributeError(f"{package} has no attribute {name!r}")
        try:
            module = importlib.import_module(
                f"{package}.{modules.get(name, name)}"
            )
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("tensorflow"):
                raise
            raise ModuleNotFoundError(
                f"{package}.{name} needs TensorFlow, on every backend. "
                f"Not installed: {error.name}",
                name=error.name,
            ) from error
        return getattr(module, name) if name in modules else module

    return get
