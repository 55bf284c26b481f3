"""TensorFlow without the notes that it writes to standard error while it is imported."""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from tfadv import check_keras


def import_tensorflow() -> None:
    """Import TensorFlow and keep its notes back, unless that fails or TF_CPP_MIN_LOG_LEVEL is set."""
    check_keras()
    if "tensorflow" in sys.modules:
        return
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow  # noqa: F401

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)  # the notes come from C++, below sys.stderr
        try:
            import tensorflow
        except Exception:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    # Nine networks are nine functions of one name, which TensorFlow takes for one traced again and again.
    tensorflow.get_logger().setLevel("ERROR")


def speak_plainly(say: Callable[[str], None]) -> None:
    """Tell what runs otherwise than asked as a sentence, and not as Python's warning with a line of the library."""
    from tfadv.compiled import Concession

    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Concession):
            say(str(message))
        else:
            shown(message, category, *where, **more)

    if getattr(shown, "__module__", "") != __name__:
        warnings.showwarning = show
