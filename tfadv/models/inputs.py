"""Converts RGB images to the input format of a model (grey, channels first): attacks always change RGB images."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfadv.core.types import Images, Tensor

#: The shares of red, green and blue in grey (ITU-R BT.601): what Pillow, libjpeg and Keras make of colours when they
#: read an image as grey, so what a grey model was trained on and will see of the file. They sum to 1.
LUMA = (0.299, 0.587, 0.114)


class InputFormat(NamedTuple):
    """The format of the images that a model takes; format(images) converts RGB images [N, H, W, 3] to it.

    size: (H, W), None where it takes any. dtype: of its numbers. grey: whether it has one channel. flat: whether that
    has no axis of its own, [N, H, W]. first: whether channels come first, [N, C, H, W].
    """

    size: tuple[int | None, int | None]
    dtype: tf.DType
    grey: bool = False
    flat: bool = False
    first: bool = False

    def __call__(self, images: Images) -> Tensor:
        """The images in the model's format, differentiable. Images that are grey already are left so."""
        if self.grey and len(images.shape) == 4 and images.shape[-1] == 3:
            images = tf.reduce_sum(images * tf.constant(LUMA, images.dtype), axis=-1, keepdims=True)
        if self.flat and len(images.shape) == 4:
            return tf.squeeze(images, axis=-1)
        turned = self.first and images.shape[-1] == (1 if self.grey else 3)
        return tf.transpose(images, (0, 3, 1, 2)) if turned else images

    @property
    def description(self) -> str | None:
        """How RGB images are converted, for records; None where they are taken as they are."""
        steps = []
        if self.grey:
            red, green, blue = LUMA
            steps.append(f"one grey channel, {red} red + {green} green + {blue} blue of the RGB image")
        if self.first:
            steps.append("channels first")
        return ", ".join(steps) or None


def input_format(inputs: list[Tensor], name: str) -> InputFormat:
    """The image format of a model's inputs.

    Raises ValueError, with this name, for a model of several inputs, of other things than images, or of whole numbers.
    """
    shapes = [tuple(tensor.shape) for tensor in inputs]
    if len(shapes) != 1:
        raise ValueError(
            f"{name}: expected a model with one input, of images [N, H, W, 3], got {len(shapes)} of "
            f"{', '.join(map(str, shapes))}. Build one around it that takes images alone: x = keras.Input((H, W, 3)), "
            "keras.Model(x, model([x, ...])) with what the others are to be."
        )
    (shape,) = shapes
    dtype = tf.as_dtype(inputs[0].dtype)
    if len(shape) == 4 and shape[-1] in (1, 3):
        format = InputFormat(shape[1:3], dtype, grey=shape[-1] == 1)
    elif len(shape) == 4 and shape[1] in (1, 3):
        format = InputFormat(shape[2:4], dtype, grey=shape[1] == 1, first=True)
    elif len(shape) == 3:
        format = InputFormat(shape[1:3], dtype, grey=True, flat=True)
    else:
        raise ValueError(
            f"{name}: expected a model of RGB images [N, H, W, 3] or [N, 3, H, W], or of grey ones, got an input of "
            f"{shape}. Build one around it: x = keras.Input((H, W, 3)), keras.Model(x, model(y)) with y what x is to "
            "be for it, such as keras.layers.Flatten()(x)."
        )
    if not dtype.is_floating:
        raise ValueError(
            f"{name}: expected a floating point input, got {dtype.name}, which has no gradients. "
            'Build the model on keras.Input((H, W, 3), dtype="float32").'
        )
    return format
