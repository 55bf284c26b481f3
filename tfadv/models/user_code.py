"""Loads a model that a user's own Python code builds: `module:callable` or `file.py:callable`, with arguments."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import operator
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfadv.core.source import Source
from tfadv.models.cloning import is_model


class UserCodeError(ValueError):
    """An exception in a user's own code (the `__cause__`); the message has the user's lines of the traceback."""

    def __init__(self, spec: str, error: BaseException, advice: str = "") -> None:
        if isinstance(error, SystemExit):
            what = f"called sys.exit({'' if error.code is None else repr(error.code)}), and no model came of it"
            explanation = ['What a script does when it is run belongs below `if __name__ == "__main__":`.']
        else:
            what, explanation = f"raised {type(error).__name__}", traceback.format_exception_only(error)
        lines = "".join([*traceback.format_list(_of_the_user(error)), *explanation]).rstrip()
        super().__init__(f"{spec}: your code {what}{':' if lines else '.'}\n{lines}".rstrip() + advice)


def result_of(spec: str) -> Any:
    """The model that the callable of a `module:callable` or `module:callable:argument` returns; a model as it is.

    Raises ValueError or FileNotFoundError where there is no such callable, `UserCodeError` for whatever it raises
    itself.
    """
    module, _, rest = spec.partition(":") if ".py:" not in spec else _split_file(spec)
    path, *words = rest.split(":")
    with _importable(Path.cwd()):
        loaded = _module(module, spec)
        try:
            target = operator.attrgetter(path)(loaded)
        except AttributeError as error:
            near = difflib.get_close_matches(path, vars(loaded), 3, 0.4)
            hint = f" Nearest: {', '.join(near)}." if near else ""
            raise ValueError(f"{spec}: {module} has no {path!r}.{hint}") from error
        if is_model(target) or isinstance(target, Source):
            return target
        if not callable(target):
            raise ValueError(f"{spec}: expected a callable that returns a model, got {type(target).__name__}.")
        with _told(spec, _advice(target, words)):
            return target(*words)


def _advice(target: Any, words: list[str]) -> str:
    """What to do of a function that needs one more argument than there are words: likely it answers for images."""
    try:
        signature = inspect.signature(target)
        signature.bind(*words, None)
    except (TypeError, ValueError):  # another number of them, or a builtin that has no signature
        return ""
    try:
        signature.bind(*words)
    except TypeError:
        return (
            "\nIf it answers for images, name what tfadv.BlackBox(it, classes=...) makes of it; if it needs a word, "
            "add it: module:callable:word."
        )
    return ""


def _split_file(spec: str) -> tuple[str, str, str]:
    before, after = spec.split(".py:", 1)
    return before + ".py", ":", after


def _module(name: str, spec: str) -> Any:
    if not name.endswith(".py"):
        try:
            with _told(spec):
                if not all(name.split(".")):  # "..", which is relative to nothing
                    raise ModuleNotFoundError(name=name)
                return importlib.import_module(name)
        except UserCodeError as error:
            missing = error.__cause__
            if not isinstance(missing, ModuleNotFoundError) or missing.name is None:
                raise
            if not (name == missing.name or name.startswith(missing.name + ".")):
                raise
            raise ValueError(
                f"{spec}: no module {name!r} here or among the installed ones. "
                "Expected module:callable, path/to/file.py:callable or a name that `tfadv models` lists."
            ) from missing
    file = Path(name).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"{spec}: no file {name}.")
    described = importlib.util.spec_from_file_location(f"tfadv_user_{file.stem}", file)
    if described is None or described.loader is None:
        raise ValueError(f"{spec}: {name} is no Python file.")
    module = importlib.util.module_from_spec(described)
    with _importable(file.parent), _told(spec):
        sys.modules[module.__name__] = module  # where pickles and dataclasses of the file look for it
        described.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _told(spec: str, advice: str = "") -> Iterator[None]:
    """A context in which the user's code runs: what it raises, SystemExit too, becomes `UserCodeError`; not Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UserCodeError(spec, error, advice) from error


def _of_the_user(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the user's own files, from the first to the one that raised or called a library that did."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    own = Path(__file__).parent.parent
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and own not in Path(frame.filename).parents
        and not any(part in ("site-packages", "dist-packages") for part in Path(frame.filename).parts)
        and not any(Path(folder) in Path(frame.filename).parents for folder in libraries if folder)
    ]


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules of this folder can be imported inside, as `python -m` would."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
