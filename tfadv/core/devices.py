"""Chooses TensorFlow's device (CPU, GPU) and precision, by `use` before the first computation; reports both.

After `use()` a GPU's memory is taken as it is needed. By default it then computes deterministically, so that the same
command gives the same bytes, and in TensorFloat-32 where it has that, as TensorFlow does by itself: the factors of
float32 products and convolutions are rounded to ten bits after the point. The command line calls `use`.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import config

from tfadv.core.compilation import use_xla
from tfadv.core.seeds import GENERATOR

#: What products may be computed in, most exact first. bfloat16 is a network of its own, see `tfadv.faster`.
FLOAT32, TF32, BFLOAT16 = PRECISIONS = ("float32", "tf32", "bfloat16")
#: The compute capability from which on NVIDIA GPUs have TensorFloat-32 and bfloat16.
AMPERE = (8, 0)
#: The flags of processors that have it.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
PROCESSOR = Path("/proc/cpuinfo")


def use(device: str | None = None, precision: str | None = None, deterministic: bool = True) -> str:
    """Choose the device: "cpu", "gpu" or "gpu:N"; by default TensorFlow's first GPU, or the CPU where there is none.

    Args:
        device: see above.
        precision: "float32" or "tf32" for float32 products on a GPU; by default TensorFlow's own choice, tf32 where the
            GPU has it. "bfloat16" leaves them at that: it is for the copy of a network that finds gradients.
        deterministic: the same bytes on every run with this GPU; a CPU's are so anyway.

    Returns the device in use. Raises ValueError for one that is not there, for tf32 without a GPU that has it, or once
    TensorFlow has begun to compute.
    """
    gpus = tf.config.list_physical_devices("GPU")
    kind, _, number = (device or "gpu:0").lower().partition(":")
    if kind not in ("cpu", "gpu") or not (number or "0").isdigit() or (kind == "cpu" and int(number or 0)):
        raise ValueError(f"device: expected cpu, gpu or gpu:N, got {device!r}.")
    if device is not None and kind == "gpu" and int(number or 0) >= len(gpus):
        raise ValueError(f"device: expected one of the {len(gpus)} GPUs that TensorFlow finds, got {device!r}.")
    chosen = [gpus[int(number or 0)]] if kind == "gpu" and gpus else []
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}.")
    if precision == TF32 and not (chosen and _capability(chosen[0]) >= AMPERE):
        raise ValueError(f"precision: tf32 is for NVIDIA GPUs from Ampere on, got {_name(chosen)}. Leave it out.")
    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            tf.config.experimental.set_memory_growth(gpu, True)
            if deterministic:
                tf.config.experimental.enable_op_determinism()
        if precision in (FLOAT32, TF32):
            tf.config.experimental.enable_tensor_float_32_execution(precision == TF32)
    except RuntimeError as error:
        raise ValueError(f"device: {device or 'gpu'} has to be chosen before TensorFlow first computes.") from error
    return chosen[0].name if chosen else "cpu"


def arithmetic() -> dict[str, Any]:
    """Random generator, precision, determinism and XLA in use, as attack.json records them.

    What draws random numbers, float32 products in "float32" or "tf32", whether every run gives the same bytes, and
    whether XLA compiles.
    """
    gpus = tf.config.get_visible_devices("GPU")
    rounds = (
        bool(gpus) and _capability(gpus[0]) >= AMPERE and tf.config.experimental.tensor_float_32_execution_enabled()
    )
    return {
        "draws": GENERATOR,
        "precision": TF32 if rounds else FLOAT32,
        "deterministic": not gpus or config.is_op_determinism_enabled(),
        "xla": use_xla(),
    }


def name() -> str:
    """The name of the device that TensorFlow computes on: "CPU", or the GPU's."""
    return _name(tf.config.get_visible_devices("GPU"))


def computes_bfloat16() -> bool:
    """Whether this device has bfloat16 arithmetic, which makes it faster there than in float32.

    A processor says so on Linux alone; elsewhere it counts as one that does not.
    """
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        return _capability(gpus[0]) >= AMPERE
    try:
        lines = PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and BFLOAT16_FLAGS & set(line.split()) for line in lines)


def _name(gpus: list[Any]) -> str:
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"


def _capability(gpu: Any) -> tuple[int, int]:
    return tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
