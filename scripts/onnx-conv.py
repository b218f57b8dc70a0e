"""Writes tests/data/onnx_conv.safetensors: the Conv cases of ONNX's backend tests, but for test_operator_conv, which alone
would take 4.5 MB.

    pip install onnx==1.23.2 && python scripts/onnx-conv.py

For each case NAME the tensors NAME.x, NAME.w, NAME.b (where it has one) and NAME.y in float32, and NAME.attributes in
int32: the number of axes, strides, dilations, pads at the beginnings, pads at the ends, the number of groups, and auto_pad
(0 to 3: NOTSET, SAME_UPPER, SAME_LOWER, VALID).
"""

import glob
import json
import os
import struct

import numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

AUTO_PAD = ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]


def cases():
    for case in collect_testcases(None):
        for inputs, outputs in case.data_sets or []:
            yield case.name, case.model, inputs, outputs
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend/test/data")
    for path in sorted(glob.glob(f"{folder}/pytorch-*/test_*[Cc]onv*")):
        def read(name):
            tensor = onnx.TensorProto()
            with open(f"{path}/test_data_set_0/{name}_0.pb", "rb") as file:
                tensor.ParseFromString(file.read())
            return numpy_helper.to_array(tensor)
        yield os.path.basename(path), onnx.load(f"{path}/model.onnx"), [read("input")], [read("output")]


tensors = {}
for name, model, inputs, outputs in cases():
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    if [node.op_type for node in nodes] != ["Conv"] or name == "test_operator_conv":
        continue
    node = nodes[0]
    values = dict(zip([i.name for i in model.graph.input], map(numpy.asarray, inputs)))
    values |= {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for constant in model.graph.node:
        if constant.op_type == "Constant":
            values[constant.output[0]] = numpy_helper.to_array(constant.attribute[0].t)
    given = [values[name] for name in node.input if name]
    x, w = given[:2]
    rank = w.ndim - 2
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    each = lambda key, default: list(attributes.get(key, default))
    numbers = [rank, *each("strides", [1] * rank), *each("dilations", [1] * rank), *each("pads", [0] * 2 * rank)]
    numbers += [attributes.get("group", 1), AUTO_PAD.index(attributes.get("auto_pad", b"NOTSET").decode())]
    for letter, tensor in zip("xwb", given):
        tensors[f"{name}.{letter}"] = tensor.astype(numpy.float32)
    tensors[f"{name}.y"] = numpy.asarray(outputs[0]).astype(numpy.float32)
    tensors[f"{name}.attributes"] = numpy.array(numbers, numpy.int32)

header, data = {}, b""
for name, tensor in sorted(tensors.items()):
    raw = numpy.ascontiguousarray(tensor).tobytes()
    dtype = "I32" if tensor.dtype == numpy.int32 else "F32"
    header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(os.path.dirname(__file__), "../tests/data/onnx_conv.safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
print(len({name.split(".")[0] for name in tensors}), "cases")
