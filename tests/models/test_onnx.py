"""The example of docs/howto/black_box.md: a model of ONNX Runtime is a network, and the same one as Keras'."""

import numpy as np
import pytest
from networks import linear

import tfadv

onnx = pytest.importorskip("onnx", reason="needs onnx, to write a model: pip install onnx onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The linear network as an ONNX file of channels first and 0..1: a convolution, a transposition, a product."""
    kernel, dense = (weight.astype(np.float32) for weight in linear().model.get_weights())
    arrays = {
        "kernel": 255 * np.transpose(kernel, (3, 2, 0, 1)),
        "dense": dense,
        "shape": np.array([0, -1], np.int64),
    }
    nodes = [
        onnx.helper.make_node("Conv", ["images", "kernel"], ["map"]),
        onnx.helper.make_node("Transpose", ["map"], ["last"], perm=[0, 2, 3, 1]),
        onnx.helper.make_node("Reshape", ["last", "shape"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", ["N", 3, 6, 6]), ("logits", ["N", 4]))
    ]
    held = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "linear", ends[:1], ends[1:], held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx.save(model, str(file))
    return file


@pytest.fixture(scope="module")
def network(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def ask(images):
        return session.run(None, {name: np.moveaxis(images / np.float32(255), -1, 1)})[0]

    return tfadv.BlackBox(ask, classes=4, size=6, returns="logits", name="model.onnx", batch_size=32)


def test_it_answers_as_keras_does_and_is_fooled_by_the_same_images(network):
    images = np.random.RandomState(3).uniform(90, 160, (5, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(network(images).logits, linear()(images).logits, rtol=1e-4, atol=1e-3)
    own = tfadv.untargeted(linear().predict(images))
    made = tfadv.Boundary(queries=200).on(network).crafted(images, own)
    assert made.found.all() and np.all(network.predict(made.images) != own.labels)
    distances = np.sqrt(np.sum((made.images - images) ** 2, axis=(1, 2, 3)))
    keras = tfadv.Boundary(queries=200).on(linear())(images, own)
    np.testing.assert_allclose(distances, np.sqrt(np.sum((keras - images) ** 2, axis=(1, 2, 3))), rtol=0.2)
