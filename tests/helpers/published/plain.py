"""The small network of the tests in bare TensorFlow, fed -1..1, cut at the layer `middle`: no Keras, no tfadv."""

import tensorflow as tf


class PlainNet:
    """logits(feature), feature(images), auxiliary(feature) with the weights of a `networks.convolutional` model."""

    def __init__(self, model):
        names = ("early", "middle", "late", "logits", "AuxLogits")
        self.weights = {name: [tf.constant(w) for w in model.get_layer(name).get_weights()] for name in names}

    def _convolve(self, x, name, stride=1):
        kernel, bias = self.weights[name]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)

    def feature(self, images):
        return self._convolve(self._convolve(images, "early"), "middle", 2)

    def logits(self, feature):
        kernel, bias = self.weights["logits"]
        late = self._convolve(feature, "late")
        return tf.matmul(tf.reshape(late, [len(late), -1]), kernel) + bias

    def auxiliary(self, feature):
        kernel, bias = self.weights["AuxLogits"]
        return tf.matmul(tf.reduce_mean(feature, [1, 2]), kernel) + bias
