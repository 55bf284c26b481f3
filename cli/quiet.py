"""Sets up the process of a command: standard streams, TensorFlow without its log messages, a fast exit."""

import atexit
import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from tfadv import check_keras


def open_streams() -> None:
    """Open stdin, stdout and stderr on the null device where they are closed: else the next file opened becomes one."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


class FastExit:
    """Ends the process with `code` as soon as the other exit handlers have run, without tearing TensorFlow down.

    Python takes a second or two to take down TensorFlow's modules one by one. It registers itself before any other exit
    handler, and so runs last.
    """

    code = 1  # of an error that nobody catches

    def __init__(self) -> None:
        atexit.register(self._leave)

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                self.code = self.code or 1
        os._exit(self.code)


def check_temporary() -> None:
    """Raise OSError where no folder takes temporary files: TensorFlow writes the functions there that it compiles."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"expected a folder for temporary files, got none that can be written to ({error.strerror}). Set TMPDIR to "
            "one."
        ) from error


@contextlib.contextmanager
def _log_file() -> Iterator[BinaryIO]:
    """A file for log messages until it is known whether they matter; the null device where none can be made."""
    try:
        file: Any = tempfile.TemporaryFile()
    except OSError:
        file = open(os.devnull, "w+b")
    with file:
        yield file


def spare_working_folder() -> None:
    """Without a home folder, keep Keras from making one called "~" in the working folder."""
    if os.path.expanduser("~") == "~":
        os.environ.setdefault("KERAS_HOME", os.path.join(os.devnull, "keras"))  # Keras does without what it cannot make


def import_tensorflow() -> None:
    """Import TensorFlow without its log messages, unless the import fails or TF_CPP_MIN_LOG_LEVEL is set."""
    check_keras()
    if "tensorflow" in sys.modules:
        return
    spare_working_folder()
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow  # noqa: F401

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with _log_file() as log:
        os.dup2(log.fileno(), 2)  # the messages come from C++, below sys.stderr
        try:
            import tensorflow
        except Exception:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    # Nine networks are nine functions of one name, which TensorFlow takes for one traced again and again.
    tensorflow.get_logger().setLevel("ERROR")


def show_concessions(say: Callable[[str], None]) -> None:
    """Show a `Concession` warning as its sentence alone, without the line of code that Python prints with it."""
    from tfadv.core.compilation import Concession

    before = getattr(warnings.showwarning, "before", warnings.showwarning)

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Concession):
            say(str(message))
        else:
            before(message, category, *where, **more)

    show.before = before  # type: ignore[attr-defined]
    warnings.showwarning = show
