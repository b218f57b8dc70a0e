#!/usr/bin/env python3
"""Small networks in the ONNX format with what ONNX Runtime makes of them: tests/data/onnx.safetensors.

Needs the Python modules onnx, onnxruntime, torch and numpy. Weights and inputs are random; each network is run on the CPU in
f32 without optimisations. Those of PyTorch are written by its TorchScript exporter.
"""
import io
import json
import pathlib
import struct
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

RNG = np.random.default_rng(21)
KINDS = {"f4": TensorProto.FLOAT, "f2": TensorProto.FLOAT16, "f8": TensorProto.DOUBLE}


def real(*shape, scale=0.4):
    return (RNG.normal(size=shape) * scale).astype("f4")


def positive(*shape):
    return np.abs(RNG.normal(size=shape)).astype("f4") + 0.1


def ints(*numbers):
    return np.array(numbers, "i8")


class Model:
    """Nodes one after another; constants become initialisers."""

    def __init__(self, opset, *shapes, fixed=False):
        self.opset, self.shapes, self.nodes, self.constants, self.outputs = opset, shapes, [], [], []
        self.inputs = [
            helper.make_tensor_value_info(
                f"x{number}", TensorProto.FLOAT, list(shape) if fixed else ["n", shape[1]] + [f"e{number}{a}" for a in range(len(shape) - 2)]
            )
            for number, shape in enumerate(shapes)
        ]

    def constant(self, array, typed=False):
        name = f"c{len(self.constants)}"
        if typed:
            flat = [number.item() for number in array.flatten()]
            self.constants.append(helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, flat))
        else:
            self.constants.append(numpy_helper.from_array(array, name))
        return name

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        inputs = [self.constant(i) if isinstance(i, (np.ndarray, np.generic)) else i for i in inputs]
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def done(self, *outputs):
        self.outputs = outputs
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=7 if self.opset < 19 else 10)
        return model.SerializeToString(), self.shapes


CASES = {}


def case(*opsets):
    def add(function):
        for opset in opsets:
            name = function.__name__ + (f" {opset}" if len(opsets) > 1 else "")
            CASES[name] = lambda opset=opset: function(opset)
        return function

    return add


@case(11)
def conv(opset):
    m = Model(opset, (1, 4, 7, 6))
    a = m("Conv", "x0", real(6, 4, 3, 2), real(6), pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])
    b = m("Conv", "x0", real(8, 2, 3, 3), group=2, kernel_shape=[3, 3], auto_pad="SAME_UPPER")
    c = m("Conv", "x0", real(3, 4, 4, 2), real(3), auto_pad="SAME_LOWER")
    d = m("Conv", "x0", real(4, 1, 2, 3), group=4, auto_pad="VALID")
    return m.done(a, b, c, d)


@case(17)
def conv_fixed(opset):
    m = Model(opset, (1, 3, 9, 8), fixed=True)
    a = m("Conv", "x0", real(2, 3, 4, 5), auto_pad="SAME_UPPER", strides=[2, 3])
    b = m("Conv", "x0", real(2, 3, 4, 4), auto_pad="SAME_LOWER", strides=[2, 2], dilations=[1, 1])
    return m.done(a, b)


@case(22)
def conv_transpose(opset):
    m = Model(opset, (1, 4, 3, 4))
    a = m("ConvTranspose", "x0", real(4, 3, 4, 3), real(3), strides=[2, 3], pads=[1, 0, 1, 2], output_padding=[1, 2])
    b = m("ConvTranspose", "x0", real(4, 2, 3, 3), group=2, dilations=[2, 1], kernel_shape=[3, 3])
    c = m("ConvTranspose", "x0", real(4, 2, 5, 4), auto_pad="SAME_UPPER", strides=[2, 2])
    d = m("ConvTranspose", "x0", real(4, 2, 5, 4), auto_pad="SAME_LOWER", strides=[2, 2])
    e = m("ConvTranspose", "x0", real(4, 2, 3, 2), auto_pad="VALID", strides=[2, 2])
    return m.done(a, b, c, d, e)


@case(17)
def one_axis(opset):
    m = Model(opset, (2, 3, 11))
    y = m("Conv", "x0", real(4, 3, 5), real(4), pads=[2, 1])
    y = m("ConvTranspose", y, real(4, 4, 4), real(4), strides=[2], pads=[1, 1])
    alpha = positive(1, 4, 1)
    sine = m("Pow", m("Sin", m("Mul", alpha, y)), np.float32(2.0))
    snake = m("Add", y, m("Mul", (1 / (alpha + 1e-9)).astype("f4"), sine))
    other = m("Sin", m("Mul", y, np.float32(0.5)))
    other = m("Add", m("Mul", m("Mul", other, other), np.float32(2.0)), y)
    cut = m("Slice", snake, ints(1), ints(-2), ints(2))
    resized = m("Resize", cut, "", np.array([1, 1, 3], "f4"), mode="linear")
    return m.done(m("Pad", snake, ints(0, 0, 3, 0, 0, 2), mode="reflect"), other, resized)


@case(18)
def three_axes(opset):
    m = Model(opset, (1, 2, 2, 3, 3))
    y = m("Conv", "x0", real(4, 2, 3, 3, 3), real(4), pads=[1] * 6)
    z = m("ConvTranspose", y, real(4, 2, 2, 2, 2), strides=[2, 2, 2])
    up = m("Resize", y, "", np.array([1, 1, 2, 1, 3], "f4"), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    smooth = m("Resize", "x0", "", np.array([1, 1, 2, 2, 2], "f4"), mode="linear")
    squeezed = m("ReduceMean", y, ints(-1, -2, -3), keepdims=1)
    return m.done(z, up, smooth, m("Mul", y, squeezed))


@case(11, 22)
def batch_normalization(opset):
    m = Model(opset, (2, 5, 4, 3))
    parameters = real(5), real(5), real(5), positive(5)
    return m.done(m("BatchNormalization", "x0", *parameters, epsilon=0.01, momentum=0.8))


@case(11, 22)
def activations(opset):
    m = Model(opset, (1, 3, 3, 4))
    outs = [m(kind, "x0") for kind in ("Relu", "Sigmoid", "Tanh", "Elu", "LeakyRelu", "HardSigmoid", "Selu", "Neg", "Identity")]
    outs += [m("LeakyRelu", "x0", alpha=0.3), m("Elu", "x0", alpha=0.7), m("HardSigmoid", "x0", alpha=0.4, beta=0.3)]
    outs += [m("Selu", "x0", alpha=1.2, gamma=0.9), m("PRelu", "x0", real(3, 1, 1)), m("PRelu", "x0", real(1, 1, 1))]
    outs += [m("PRelu", "x0", np.float32([0.3])), m("Clip", "x0", np.float32(-0.5), np.float32(0.5))]
    outs += [m("Clip", "x0", "", np.float32(0.5)), m("Clip", "x0", np.float32(0.0)), m("Dropout", "x0")]
    outs += [m("Pow", "x0", np.float32(2))]
    if opset >= 12:
        outs += [m("Celu", "x0", alpha=0.6)]
    return m.done(*outs)


@case(22)
def newer_activations(opset):
    m = Model(opset, (1, 3, 3, 4))
    return m.done(*[m(kind, "x0") for kind in ("HardSwish", "Mish", "Gelu")])


@case(17)
def activations_in_parts(opset):
    m = Model(opset, (1, 3, 3, 4))
    silu = m("Mul", "x0", m("Sigmoid", "x0"))
    swish = m("Mul", m("HardSigmoid", "x0", alpha=1 / 6, beta=0.5), "x0")
    six = m("Clip", m("Add", "x0", np.float32(3)), np.float32(0), np.float32(6))
    also = m("Div", m("Mul", "x0", six), np.float32(6))
    mish = m("Mul", "x0", m("Tanh", m("Softplus", "x0")))
    one = m("Add", m("Erf", m("Div", "x0", np.float32(2**0.5))), np.float32(1))
    gelu = m("Mul", m("Mul", "x0", one), np.float32(0.5))
    half = m("Mul", one, m("Mul", "x0", np.float32(0.5)))
    gate = m("Mul", "x0", m("Sigmoid", m("Neg", "x0")))
    return m.done(silu, swish, also, mish, gelu, half, gate)


@case(9)
def old_forms(opset):
    m = Model(opset, (1, 3, 4, 6))
    up = m("Upsample", "x0", np.array([1, 1, 2, 3], "f4"), mode="nearest")
    pad = m("Pad", "x0", pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="edge")
    cut = m("Slice", "x0", axes=[1, 3], starts=[1, 1], ends=[2**31, -1])
    return m.done(up, pad, cut, m("Clip", "x0", min=-0.2, max=0.3))


@case(10)
def resize_10(opset):
    m = Model(opset, (1, 3, 4, 6))
    return m.done(m("Resize", "x0", np.array([1, 1, 3, 2], "f4"), mode="nearest"))


@case(13)
def arithmetic(opset):
    m = Model(opset, (2, 3, 2, 3), (2, 3, 2, 3), (2, 1, 2, 3))
    outs = [m(kind, "x0", "x1") for kind in ("Add", "Sub", "Mul")]
    outs += [m("Sum", "x0", "x1", "x0"), m("Mul", "x0", "x2"), m("Add", "x2", "x0")]
    for kind in ("Add", "Sub", "Mul", "Div"):
        outs += [m(kind, "x0", np.float32(1.5)), m(kind, "x0", positive(3, 1, 1)), m(kind, "x0", positive(1, 3, 1, 1))]
    outs += [m(kind, positive(1, 3, 1, 1), "x0") for kind in ("Add", "Sub", "Mul")] + [m("Sub", np.float32([2]), "x0")]
    outs += [m("Mul", "x2", real(3, 1, 1)), m("Add", "x0", np.full((3, 1, 1), 0.5, "f4"))]
    mean = m("GlobalAveragePool", "x1")
    outs += [m("Add", "x0", mean), m("Sub", mean, "x0"), m("Mul", mean, "x0"), m("Add", mean, "x2")]
    return m.done(*outs)


@case(11, 18)
def channels(opset):
    m = Model(opset, (1, 12, 2, 4))
    outs = [m("Concat", "x0", "x0", axis=-3)]
    sizes = {"split": [2, 7, 3]} if opset < 13 else {}
    parts = m("Split", "x0", *([] if sizes else [ints(2, 7, 3)]), outputs=3, axis=1, **sizes)
    outs += [parts[0], m("Relu", parts[1]), parts[2]]
    outs += m("Split", "x0", outputs=4, axis=1, **({"num_outputs": 4} if opset == 18 else {}))
    if opset == 18:
        outs += m("Split", outs[0], outputs=5, axis=1, num_outputs=5)
    outs += [m("Slice", "x0", ints(2), ints(-3), ints(1)), m("Slice", "x0", ints(2), ints(100), ints(1), ints(3))]
    outs += [m("Slice", "x0", ints(-1), ints(-(2**62)), ints(1), ints(-1))]
    outs += [m("Gather", "x0", ints(3, 4, 5, -1), axis=1), m("Gather", "x0", ints(*range(11, 1, -1)), axis=1)]
    outs += [m("DepthToSpace", "x0", blocksize=2, mode=mode) for mode in ("DCR", "CRD")]
    conv = m("Conv", "x0", real(16, 12, 1, 1), real(16))
    outs += [m("DepthToSpace", conv, blocksize=2), m("SpaceToDepth", "x0", blocksize=2)]
    return m.done(*outs)


@case(11, 18)
def borders(opset):
    m = Model(opset, (1, 2, 5, 6))
    outs = [m("Pad", "x0", ints(0, 0, 1, 2, 0, 0, 3, 1), mode=mode) for mode in ("constant", "edge", "reflect")]
    outs += [m("Pad", "x0", ints(0, 0, 1, -2, 0, 0, -1, 1)), m("Pad", "x0", ints(0, 0, 2, 0, 0, 0, 0, 1), np.float32(0))]
    if opset >= 18:
        outs += [m("Pad", "x0", ints(1, 2, 3, 0), "", ints(-1, 2))]
    outs += [m("Slice", "x0", ints(1, 2), ints(2**31 - 1, -1), ints(2, 3))]
    outs += [m("Slice", "x0", ints(1, 0), ints(2**62, 2**62), ints(2, 3), ints(2, 3))]
    return m.done(*outs)


@case(13)
def borders_fixed(opset):
    m = Model(opset, (1, 2, 7, 8), fixed=True)
    outs = [m("Slice", "x0", ints(-5, 2), ints(6, 5), ints(2, 3)), m("Slice", "x0", ints(0, 0, 1), ints(1, 2, 5))]
    return m.done(*outs)


@case(11, 22)
def resize(opset):
    m = Model(opset, (1, 1, 4, 5))
    scales = np.array([1, 1, 3, 2], "f4")
    none = np.zeros(0, "f4") if opset < 13 else ""
    outs = [m("Resize", "x0", none, scales)]
    outs += [m("Resize", "x0", none, scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")]
    outs += [m("Resize", "x0", real(8), scales, coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")]
    twice, half = np.array([1, 1, 2, 2], "f4"), np.array([1, 1, 0.5, 0.5], "f4")
    outs += [m("Resize", "x0", none, np.array([1, 1, 2, 2], "f4"), coordinate_transformation_mode="asymmetric", nearest_mode="round_prefer_floor")]
    if opset < 13:
        outs += [m("Resize", "x0", none, twice, coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor")]
    outs += [m("Resize", "x0", none, scale, mode=mode, coordinate_transformation_mode="pytorch_half_pixel")
             for scale in (twice, half) for mode in ("linear", "cubic")]
    outs += [m("Resize", "x0", none, np.array([1, 1, 3, 3], "f4"), mode="linear")]
    if opset >= 18:
        outs += [m("Resize", "x0", none, np.array([3, 2], "f4"), axes=[2, 3]), m("Resize", "x0", none, np.array([2, 3], "f4"), axes=[-1, -2])]
        outs += [m("Resize", "x0", none, twice, mode="linear", antialias=1)]
    shape = m("Shape", "x0")
    height = m("Mul", m("Gather", shape, ints(2), axis=0), ints(2))
    width = m("Cast", m("Floor", m("Mul", m("Cast", m("Gather", shape, ints(3), axis=0), to=1), np.float32(3))), to=7)
    sizes = m("Concat", m("Slice", shape, ints(0), ints(2), ints(0)), height, width, axis=0)
    outs += [m("Resize", "x0", none, none, sizes)]
    mean = m("GlobalAveragePool", "x0")
    outs += [m("Add", "x0", m("Expand", mean, shape)), m("Expand", mean, shape)]
    return m.done(*outs)


@case(13)
def resize_small(opset):
    m = Model(opset, (1, 1, 11, 14))
    scales = [np.array([1, 1, 1 / number, 1 / number], "f4") for number in (3, 4, 5)]
    return m.done(*[m("Resize", "x0", "", scale, mode=mode) for scale in scales for mode in ("linear", "cubic")])


@case(13)
def resize_fixed(opset):
    m = Model(opset, (1, 2, 4, 5), fixed=True)
    outs = [m("Resize", "x0", "", "", ints(1, 2, 8, 15)), m("Resize", "x0", "", "", ints(1, 2, 8, 10), mode="cubic")]
    outs += [m("Mul", "x0", m("Expand", m("GlobalAveragePool", "x0"), ints(1, 2, 4, 5)))]
    return m.done(*outs)


@case(11, 13, 18)
def means(opset):
    m = Model(opset, (2, 4, 5, 6))
    axes = lambda *numbers: ([ints(*numbers)], {}) if opset >= 18 else ([], {"axes": list(numbers)})
    inputs, attributes = axes(2, 3)
    a = m("ReduceMean", "x0", *inputs, **attributes)
    b = m("ReduceMean", "x0", *inputs, keepdims=0, **attributes)
    c = m("Flatten", m("GlobalAveragePool", "x0"))
    d = m("Gemm", b, real(4, 3), real(3))
    d = m("Gemm", m("Relu", d), real(5, 3), real(1, 5), transB=1, alpha=0.5, beta=2.0)
    e = m("Add", m("MatMul", c, real(4, 5)), real(5))
    f = m("Mul", d, m("Sigmoid", e))
    unsqueeze = lambda x, *numbers: m("Unsqueeze", x, ints(*numbers)) if opset >= 13 else m("Unsqueeze", x, axes=list(numbers))
    squeeze = lambda x, *numbers: m("Squeeze", x, ints(*numbers)) if opset >= 13 else m("Squeeze", x, axes=list(numbers))
    g = unsqueeze(unsqueeze(f, 2), -1)
    h = m("Reshape", f, ints(-1, 5, 1, 1))
    i = m("Reshape", squeeze(a, 2, 3), ints(0, 4, 1, 1))
    j = m("Reshape", a, m("Concat", m("Slice", m("Shape", a), ints(0), ints(2)), ints(1, 1), axis=0))
    k = m("BatchNormalization", c, real(4), real(4), real(4), positive(4))
    return m.done(a, b, e, g, m("Add", g, h), m("Mul", "x0", i), m("Mul", j, "x0"), m("Clip", k, np.float32(0)))


@case(17)
def pools(opset):
    m = Model(opset, (1, 2, 7, 8))
    a = m("AveragePool", "x0", kernel_shape=[2, 3], strides=[2, 3])
    b = m("AveragePool", "x0", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    return m.done(a, b)


@case(13)
def folding(opset):
    m = Model(opset, (1, 2, 3, 4))
    scale = m("Constant", value_float=3.0)
    rows = m("Constant", value_ints=[6, 2])
    weight = m("Transpose", m("Reshape", real(2, 6), m("Concat", m("Gather", rows, ints(1), axis=0), m("Gather", rows, ints(0), axis=0), axis=0)), perm=[1, 0])
    weight = m("Unsqueeze", m("Div", m("Mul", weight, scale), m("Sqrt", m("Constant", value=numpy_helper.from_array(positive(1, 2))))), ints(2, 3))
    y = m("Conv", "x0", weight, m("Squeeze", m("Unsqueeze", real(6), ints(0)), ints(0)))
    steps = m("Range", ints(0)[0], ints(3)[0], ints(1)[0])
    y = m("Gather", y, m("Sub", m("Mul", steps, ints(2)[0]), m("Neg", ints(1))), axis=1)
    ones = m("ConstantOfShape", ints(3), value=numpy_helper.from_array(ints(1)))
    ones = m("Where", m("Equal", ones, ints(1, -1, 1)), ones, ints(7, 8, 9))
    y = m("Mul", y, m("Cast", m("Unsqueeze", ones, ints(1, 2)), to=1))
    direction = real(3, 2, 3, 1)
    lengths = m("ReduceL2", direction, axes=[1, 2, 3])
    y = m("Sum", y, m("Conv", "x0", m("Div", m("Mul", positive(3, 1, 1, 1), direction), lengths), pads=[1, 0, 1, 0]))
    return m.done(m("Add", y, m("Expand", m("Reciprocal", m("Floor", np.float32(2.5))), ints(1, 1, 1))))


@case(17)
def kinds(opset):
    """Weights of each type, raw and in typed fields."""
    m = Model(opset, (1, 2, 3, 4))
    y = "x0"
    for kind in ("f4", "f2", "f8"):
        for typed in (False, True):
            weight = m.constant(real(2, 2, 1, 1, scale=1.0).astype(kind), typed)
            y = m("Conv", y, weight if kind == "f4" else m("Cast", weight, to=1))
    return m.done(m("Slice", y, m.constant(np.int32([1]), True), m.constant(np.int32([2])), np.int32([1])))


class Squeeze(nn.Module):
    def __init__(self, channels, linear):
        super().__init__()
        layer = nn.Linear if linear else lambda a, b: nn.Conv2d(a, b, 1)
        self.linear = linear
        self.layers = nn.Sequential(layer(channels, 2), nn.ReLU(), layer(2, channels), nn.Sigmoid())

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        if self.linear:
            n, c, _, _ = x.shape
            return x * self.layers(y.view(n, c)).view(n, c, 1, 1).expand_as(x)
        return x * self.layers(y)


class Block(nn.Module):
    def __init__(self, channels, act, linear):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), act,
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"), Squeeze(channels, linear),
        )

    def forward(self, x):
        return x + self.layers(x)


class Net(nn.Module):
    def __init__(self, act, linear, how):
        super().__init__()
        self.how = how
        self.head = nn.Conv2d(3, 3, 3, padding=1)
        self.down = nn.Conv2d(3, 4, 2, stride=2)
        self.inner = Block(4, act, linear)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.outer = Block(6, act, linear)
        self.tail = nn.Sequential(nn.Conv2d(6, 12, 1), nn.PixelShuffle(2))

    def forward(self, x):
        a = self.head(x)
        b = self.up(self.inner(self.down(a)))
        y = self.tail(self.outer(torch.cat([a, b], 1)))
        if self.how == "bicubic":
            base = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        else:
            base = F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2), mode="nearest")
        return torch.clamp(y + base, 0, 1)


def exported(act, linear, how, opset, dynamic):
    torch.manual_seed(3)
    net = Net(act, linear, how).eval()
    x = torch.rand(1, 3, 4, 6)
    file = io.BytesIO()
    axes = {"x": {0: "n", 2: "h", 3: "w"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), file, opset_version=opset, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False)
    model = onnx.load_from_string(file.getvalue())
    model.graph.ClearField("value_info")
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    # Their names are the most of such a file.
    short = {"": "", "x": "x", "y": "y"}
    rename = lambda names: [short.setdefault(name, f"v{len(short)}") for name in names]
    for tensor in model.graph.initializer:
        tensor.name, = rename([tensor.name])
    for number, node in enumerate(model.graph.node):
        node.name, node.input[:], node.output[:] = f"n{number}", rename(node.input), rename(node.output)
    return model.SerializeToString(), [(1, 3, 4, 6)]


for number, (act, linear, how, opset, dynamic) in enumerate([
    (nn.SiLU(), True, "nearest", 11, False),
    (nn.SiLU(), True, "nearest", 11, True),
    (nn.GELU(), False, "nearest", 13, False),
    (nn.Hardswish(), True, "bicubic", 17, True),
    (nn.Mish(), False, "bicubic", 18, False),
]):
    arguments = act, linear, how, opset, dynamic
    CASES[f"torch {number}"] = lambda arguments=arguments: exported(*arguments)


def save(path, tensors):
    """A safetensors file."""
    header, data = {}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        kind = {"float32": "F32", "uint8": "U8"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    tensors = {}
    for name, make in CASES.items():
        model, shapes = make()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            inputs = [RNG.normal(size=shape).astype("f4") for shape in shapes]
            outputs = session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))
        except Exception as error:
            raise SystemExit(f"{name}: {error}")
        tensors[f"{name}/model"] = np.frombuffer(model, "u1")
        for kind, arrays in {"input": inputs, "output": outputs}.items():
            for number, array in enumerate(arrays):
                tensors[f"{name}/{kind} {number}"] = array.astype("f4")
    target = pathlib.Path(__file__).parent.parent / "tests/data/onnx.safetensors"
    save(target, tensors)
    print(f"{target}: {len(CASES)} networks, {target.stat().st_size} bytes")


main()
