"""Names for arrays by what is in them. TensorFlow ships no usable types of its own, so to a type checker all are `Any`.

N images, H x W pixels, 3 colours, K logits. Each may be a `tf.Tensor` or a numpy array.
"""

from typing import Any, TypeAlias

#: Numbers of any shape.
Tensor: TypeAlias = Any
#: float [N, H, W, 3], RGB in 0..255.
Images: TypeAlias = Any
#: float [N, H, W, 3] in grey levels: what is added to images, or allowed to be.
Perturbation: TypeAlias = Any
#: float [N, H, W, 3]: the derivative of a number of each image with respect to its pixels.
Gradient: TypeAlias = Any
#: int [N]: a class for each image.
Labels: TypeAlias = Any
#: float [N, K].
Logits: TypeAlias = Any
#: int32 [N, 2]: each image's own seed, from which all its random numbers follow.
Seeds: TypeAlias = Any
