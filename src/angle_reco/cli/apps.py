"""Load the host's application that the option `--app` names."""

import inspect
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from angle_reco import InvalidValueError, Recommender

_DJANGO_SETTINGS = "DJANGO_SETTINGS_MODULE"


def load_app(path: str) -> Recommender:
    """Return the host's recommender, given as `module:name`.

    The name may be that of a function without arguments, which is then called.

    Raises:
        InvalidValueError: The module or the name does not exist, or is not a recommender.
    """
    expected = "module:name of a Recommender, or of a function without arguments that returns one"
    module_name, _, name = path.partition(":")
    if not module_name or module_name.startswith(".") or not name:
        raise InvalidValueError("app", path, expected)
    # As with `python -m`, modules in the current directory can be imported.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    _set_up_django()
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the application itself imports a missing module
        raise InvalidValueError("app", path, f"{expected}: no module {error.name!r}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidValueError("app", path, f"{expected}: no {part!r} in it")
        found = getattr(found, part)
    if not isinstance(found, Recommender) and callable(found):
        try:
            inspect.signature(found).bind()
        except (TypeError, ValueError):
            raise InvalidValueError("app", path, f"{expected}: {name!r} is none") from None
        found = found()
    if not isinstance(found, Recommender):
        raise InvalidValueError("app", path, f"{expected}, not a {type(found).__name__}")
    return found


def _set_up_django() -> None:
    """Set Django up if it is configured, as the application may import Django models.

    Raises:
        InvalidValueError: The settings module does not exist.
    """
    settings = os.environ.get(_DJANGO_SETTINGS)
    if not settings or find_spec("django") is None:
        return
    try:
        import_module("django").setup()
    except ModuleNotFoundError as error:
        if error.name is None or not f"{settings}.".startswith(f"{error.name}."):
            raise  # the settings or an installed app import a missing module
        expected = f"a module that can be imported from here: no module {error.name!r}"
        raise InvalidValueError(_DJANGO_SETTINGS, settings, expected) from None
