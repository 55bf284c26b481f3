"""`tf.function` compiled once for batches of any size, with XLA on a GPU, and without XLA where it fails.

TFADV_XLA=1 in the environment takes XLA on every device, TFADV_XLA=0 on none; by default it is taken on a GPU alone,
since on a CPU it is slower. What XLA has compiled is kept in the user's cache folder, where this TensorFlow can do so.
"""

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config as determinism

from tfadv.core.types import Tensor

#: The environment variables that force or forbid XLA, and that say where its programs are kept ("" for nowhere).
XLA, CACHE = "TFADV_XLA", "TFADV_XLA_CACHE"
#: From which version on TensorFlow keeps XLA's programs of every device: 2.15 fails to write a CPU's.
KEEPS = (2, 21)
#: Errors that have nothing to do with XLA or determinism: without them they would come again.
NO_REFUSAL = (tf.errors.ResourceExhaustedError, tf.errors.CancelledError)


class CallsPython(Exception):
    """Raised while a function is traced that calls Python code each time that it runs, see `called_in_python`."""


def called_in_python(function: Callable[[np.ndarray], np.ndarray], tensor: Tensor, dtype: tf.DType) -> Tensor:
    """function(tensor as a numpy array), each time that what is around it runs: by the thread that runs it.

    A compiled program could call Python too, but from a thread of TensorFlow's own; on small machines there is one
    alone, and a function that itself runs TensorFlow would wait for it for ever. So what calls Python is not compiled:
    `Compiled` calls it eagerly.
    """
    if not tf.executing_eagerly():
        raise CallsPython("it calls Python code")
    return tf.constant(function(tensor.numpy()), dtype)


class Compiled:
    """A `tf.function` of (nested) tensors, traced with the batch dimension of every tensor left open.

    compiled(*arguments) takes the same structure of tensors each time, whatever the size of the batch. Images of
    another size are traced anew; `traces` counts. With XLA, which compiles for shapes that are known, so does another
    size of the batch.

    What XLA refuses runs without it, what determinism refuses without determinism; a warning says so once. What calls
    Python code runs eagerly, see `called_in_python`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._plain, self._with_xla, self._eagerly = function, use_xla(), False
        self._begin()

    def _begin(self) -> None:
        self._function = tf.function(self._plain, autograph=False, jit_compile=self._with_xla or None)
        self._concrete: dict[tuple, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        arguments = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        try:
            return self.attempt(*arguments)
        except NO_REFUSAL:
            raise
        except CallsPython:
            if not tf.executing_eagerly():
                raise  # within a larger function, which then runs eagerly
            self._eagerly = True  # as everybody knows who hands over a function of Python: nothing to be warned of
        except tf.errors.OpError as error:
            self._fall_back(error)
        self._begin()
        return self(*arguments)

    def attempt(self, *arguments: Any) -> Any:
        """One call, of tensors: an operation that XLA or determinism refuses raises its error."""
        if self._eagerly or tf.config.functions_run_eagerly():
            return self._plain(*arguments)
        return self._traced(arguments)(*arguments)

    def _fall_back(self, error: tf.errors.OpError) -> None:
        """Switch off XLA, or else determinism, after this error; an error of the function's own is raised again."""
        reason = _first_line(error)
        if self._with_xla:
            self._with_xla = False
            concede(f"XLA refuses an operation ({reason}): it runs without XLA, which is slower.")
        elif determinism.is_op_determinism_enabled() and _is_about_determinism(error):
            determinism.disable_op_determinism()
            concede(
                f"TensorFlow has no deterministic form of an operation ({reason}): the run goes on without "
                "determinism, and another one may differ from it in the last digits."
            )
        else:
            raise error

    def _traced(self, arguments: Any) -> Any:
        first = 0 if self._with_xla else 1
        shapes = tuple(tuple(tensor.shape[first:]) for tensor in tf.nest.flatten(arguments))
        if shapes not in self._concrete:
            spec = tf.TensorSpec.from_tensor if self._with_xla else _any_batch
            self._concrete[shapes] = self._function.get_concrete_function(*tf.nest.map_structure(spec, arguments))
        return self._concrete[shapes]

    @property
    def traces(self) -> int:
        """How often it was traced: once for each size of images."""
        return self._function.experimental_get_tracing_count()

    @property
    def graphs(self) -> list[Any]:
        """The graphs that were traced, for each size of images one."""
        return [traced.graph for traced in self._concrete.values()]


class Program:
    """A function compiled as one XLA program where possible, and called as plain Python otherwise.

    For a function so large that without XLA it is better called in parts which are compiled, or that has parts which
    are no tensor operations. What XLA refuses as a whole is called in parts from then on; a warning says so once.

    Args:
        function: of (nested) tensors; called eagerly, and traced within a larger program.
        name: what it is, for the warning.
        traceable: whether it can be traced at all.
    """

    def __init__(self, function: Callable[..., Any], name: str, traceable: bool = True) -> None:
        self._parts, self.name = function, name
        self.whole = Compiled(function) if traceable and use_xla() else None

    def __call__(self, *arguments: Any) -> Any:
        arguments = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if self.whole is not None and tf.executing_eagerly():
            try:
                return self.whole.attempt(*arguments)
            except NO_REFUSAL:
                raise
            except CallsPython:
                self.whole = None
            except Exception as error:  # also of what is no tensor operation, and runs where it is called eagerly
                self.whole = None
                concede(
                    f"{self.name} cannot be one program ({_first_line(error)}): its passes are compiled one by one, "
                    "which is slower."
                )
        return self._parts(*arguments)

    @property
    def traces(self) -> int:
        """How often the whole was traced."""
        return 0 if self.whole is None else self.whole.traces


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _is_about_determinism(error: Exception) -> bool:
    return isinstance(error, tf.errors.UnimplementedError) or "determinis" in str(error).lower()


def _any_batch(tensor: Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]] if len(tensor.shape) else [], tensor.dtype)


def fused(function: Callable[..., Any], signature: Sequence[tf.TensorSpec]) -> Callable[..., Any]:
    """A function of many small operations, fused by XLA into one on every device, wherever it is called from.

    For arithmetic on tensors of the given signature, without variables; plain where TFADV_XLA is 0 or XLA is missing.
    """
    return tf.function(function, input_signature=signature, autograph=False, jit_compile=True if _has_xla() else None)


def repeat(count: int, body: Callable[[Tensor, Any], Any], state: Any, start: int = 0) -> Any:
    """A loop: state = body(number, state) for number = start .. count - 1.

    Called eagerly it is a loop in Python around what is compiled, within a `tf.function` a `tf.while_loop`.
    """
    if tf.executing_eagerly() or start >= count:
        for number in range(start, count):
            state = body(tf.constant(number), state)
        return state

    def step(number: Tensor, state: Any) -> tuple[Tensor, Any]:
        return number + 1, body(number, state)

    begun = (tf.constant(start), state)
    most = count - start  # which XLA has to know for a gradient through the loop
    return tf.while_loop(lambda number, _: number < count, step, begun, parallel_iterations=1, maximum_iterations=most)[
        1
    ]


def summed(count: int, terms: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The sums of the tensors that terms(0), ..., terms(count - 1) return, computed in a loop; see `repeat`."""
    return summed_along(count, lambda number, state: (terms(number), state), ())[0]


def summed_along(
    count: int, terms: Callable[[Tensor, Any], tuple[tuple[Tensor, ...], Any]], state: Any
) -> tuple[tuple[Tensor, ...], Any]:
    """(sums, last state) where terms(number, state) returns (tensors, next state), for each number below count."""

    def adding(terms: Callable) -> Callable:
        def step(number: Tensor, both: tuple[tuple[Tensor, ...], Any]) -> tuple[tuple[Tensor, ...], Any]:
            parts, state = terms(number, both[1])
            return _sums(both[0], parts), state

        return step

    if not tf.executing_eagerly() and count > 1:
        specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, state)
        traced = tf.function(terms, autograph=False).get_concrete_function(tf.TensorSpec([], tf.int32), specs)
        parts = traced.structured_outputs[0]
        if all(part.shape.is_fully_defined() for part in parts):  # then the graph holds it once, in its loop alone
            zeros = tuple(tf.zeros(part.shape, part.dtype) for part in parts)
            return repeat(count, adding(traced), (zeros, state))
    return repeat(count, adding(terms), terms(tf.constant(0), state), start=1)


def _sums(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def use_xla() -> bool:
    """Whether functions are compiled with XLA: as TFADV_XLA says, else on a GPU. Raises ValueError for another word."""
    chosen = os.environ.get(XLA, "")
    if chosen not in ("", "0", "1"):
        raise ValueError(f"{XLA}: expected 1 (XLA everywhere), 0 (nowhere) or nothing, got {chosen!r}.")
    return chosen == "1" if chosen else on_gpu()


def on_gpu() -> bool:
    """Whether TensorFlow finds a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


@functools.cache
def _has_xla() -> bool:
    if os.environ.get(XLA) == "0":
        return False
    with tf.init_scope():
        try:
            return bool(tf.function(lambda number: number + 1, jit_compile=True)(tf.constant(1)) == 2)
        except (tf.errors.OpError, ValueError):  # a TensorFlow built without it
            return False


def keep_programs() -> Path | None:
    """Turn on XLA's persistent cache in the user's cache folder, so that the next process does not compile again.

    TensorFlow reads the folder once, when it first lists its devices. Returns the folder; None where this TensorFlow
    cannot, where TFADV_XLA_CACHE is empty, or where TF_XLA_FLAGS already names another.
    """
    flags, folder = os.environ.get("TF_XLA_FLAGS", ""), os.environ.get(CACHE)
    if tuple(map(int, tf.__version__.split(".")[:2])) < KEEPS or "persistent_cache" in flags or folder == "":
        return None
    try:
        path = Path(folder) if folder else _cache_folder()
        path.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError, RuntimeError):  # no home, one that cannot be written to, no pooch to find it
        return None
    kinds = "GPU,CPU" if os.environ.get(XLA) == "1" else "GPU"
    here = f"--tf_xla_persistent_cache_directory={path} --tf_xla_persistent_cache_device_types={kinds}"
    os.environ["TF_XLA_FLAGS"] = f"{flags} {here}".strip()
    return path


def _cache_folder() -> Path:
    from pooch import os_cache  # with all that it imports, where nothing else says where

    return Path(os_cache("tfadv")) / "xla"


#: Where programs are kept, if anywhere.
PROGRAMS = keep_programs()


class Concession(RuntimeWarning):
    """A warning: something runs, but otherwise than asked (without XLA, without determinism), or looks wrong."""


#: The warnings so far, in sentences: each is given once.
concessions: list[str] = []


def concede(sentence: str) -> None:
    """Give this `Concession` warning, once in a process, and keep it in `concessions` for records."""
    if sentence not in concessions:
        concessions.append(sentence)
        warnings.warn(sentence, Concession, stacklevel=4)
