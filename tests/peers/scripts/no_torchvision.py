"""Stands in for torchvision, which some peers import and these cases never use; its CPU build is not on PyPI."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = _nothing
        return module

    def exec_module(self, module):
        pass


def _nothing(name):
    """A class that nothing is an instance of."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


if importlib.util.find_spec("torchvision") is None:
    sys.meta_path.append(_Finder())
