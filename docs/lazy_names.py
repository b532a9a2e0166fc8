"""Tells griffe, which reads the sources, of names that are imported late."""

import ast

import griffe


class LazyNames(griffe.Extension):
    """Reads the `_MODULES` of a package: see `keras_noisyfer.lazy_names`."""

    def on_package(self, *, pkg, **_):
        for package in (pkg, *pkg.modules.values()):
            table = package.members.get("_MODULES")
            if table is None:
                continue
            for name, module in ast.literal_eval(str(table.value)).items():
                target = f"{package.path}.{module}.{name}"
                package.set_member(name, griffe.Alias(name, target))
