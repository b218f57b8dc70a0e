#!/usr/bin/env python3
"""Small networks in ncnn's format with what ncnn makes of them: tests/data/ncnn.safetensors.

Needs the Python modules ncnn and numpy (pip install ncnn numpy). Weights and inputs are random; each network is run on
the CPU in f32 by ncnn's plain loops.
"""
import json
import pathlib
import struct
import tempfile

import ncnn
import numpy as np

RNG = np.random.default_rng(20)
F16, INT8 = 0x01306B47, 0x000D4B38
KINDS = {
    "BatchNorm": 2, "Concat": 5, "Convolution": 6, "Crop": 7, "Deconvolution": 8, "Eltwise": 10, "ELU": 11,
    "InnerProduct": 15, "Input": 16, "Pooling": 21, "PReLU": 23, "Reduction": 25, "ReLU": 26, "Scale": 29,
    "Sigmoid": 30, "Split": 33, "TanH": 35, "BinaryOp": 40, "ConvolutionDepthWise": 42, "Padding": 43, "Interp": 50,
    "DeconvolutionDepthWise": 51, "Clip": 54, "HardSwish": 67, "PixelShuffle": 69, "Mish": 71, "Swish": 73,
}


def plain(count):
    return RNG.normal(size=count).astype("<f4").tobytes()


def weight(count):
    return struct.pack("<I", 0) + (RNG.normal(size=count) * 0.3).astype("<f4").tobytes()


def half(count):
    data = (RNG.normal(size=count) * 0.3).astype("<f2").tobytes()
    return struct.pack("<I", F16) + data + bytes(-len(data) % 4)


def conv(kind, name, src, dst, out, ins, kernel, more="", groups=1, tagged=weight, bias=True):
    kh, kw = kernel
    count = out * ins // groups * kh * kw
    line = f"{kind} {name} 1 1 {src} {dst} 0={out} 1={kw} 11={kh} 5={int(bias)} 6={count} {more}"
    if "DepthWise" in kind:
        line += f" 7={groups}"
    return line, tagged(count) + (plain(out) if bias else b"")


CASES = {
    "convolutions": ((4, 13, 11), lambda: [
        conv("Convolution", "a", "x", "a", 6, 4, (3, 2), "4=1 14=2 15=0 16=1 9=2 -23310=1,0.2"),
        conv("Convolution", "b", "a", "b", 5, 6, (2, 3), "2=2 12=1 3=2 13=1", tagged=half),
        conv("ConvolutionDepthWise", "c", "b", "c", 10, 5, (3, 3), "4=1 9=1", groups=5, bias=False),
    ]),
    "deconvolutions": ((4, 5, 6), lambda: [
        conv("Deconvolution", "a", "x", "a", 6, 4, (4, 4), "3=2 4=1 9=6 -23310=2,0.2,0.5", tagged=half),
        conv("Deconvolution", "b", "a", "b", 3, 6, (3, 2), "3=3 13=2 4=1 14=0 15=2 16=1 18=2 19=1"),
        conv("DeconvolutionDepthWise", "c", "b", "c", 6, 3, (2, 2), "3=2 9=4", groups=3),
    ]),
    "squeeze and excitation": ((6, 7, 9), lambda: [
        ("Split s 1 2 x y z", b""),
        ("Pooling p 1 1 y p 0=1 4=1", b""),
        ("InnerProduct f 1 1 p f 0=3 1=1 2=18 9=1", weight(18) + plain(3)),
        ("InnerProduct g 1 1 f g 0=6 1=1 2=18 9=4", half(18) + plain(6)),
        ("Split t 1 2 g g1 g2", b""),
        ("Split u 1 2 z z1 z2", b""),
        ("BinaryOp m 2 1 z1 g1 m 0=2", b""),
        ("Scale n 2 1 z2 g2 n 0=-233", b""),
        ("Eltwise e 2 1 m n e 0=1 -23301=2,0.25,2.0", b""),
    ]),
    "crops": ((5, 16, 18), lambda: [
        ("Split s 1 3 x a b c", b""),
        ("Crop k 1 1 a e -23309=2,3,2 -23310=2,-1,-4 -23311=2,-2,-1", b""),
        ("Split t 1 3 e e1 e2 e3", b""),
        ("Crop l 2 1 b e1 f 0=2 1=1", b""),
        ("Crop m 1 1 c g 0=3 1=2 3=-233 4=-233 5=-233 6=3 7=2", b""),
        ("Crop n 1 1 e3 h -23309=1,1 -23310=1,4 -23311=1,0", b""),
        ("Concat p 4 1 e2 f g h y", b""),
    ]),
    "sums": ((3, 5, 7), lambda: [
        ("Split s 1 5 x a b c d e", b""),
        ("BinaryOp f 1 1 a f 0=0 1=1 2=0.5", b""),
        ("BinaryOp g 1 1 b g 0=2 1=1 2=-1.5", b""),
        ("BinaryOp h 2 1 f g h 0=1", b""),
        ("Eltwise i 3 1 h c d i 0=1", b""),
        ("Eltwise j 2 1 i e j 0=0", b""),
        ("BinaryOp k 1 1 j k 0=7 1=1 2=2.0", b""),
    ]),
    "enlargements": ((4, 8, 12), lambda: [
        ("Split s 1 5 x a b c d e", b""),
        ("PixelShuffle f 1 1 a f 0=2", b""),
        ("Interp g 1 1 b g 0=1 1=2.0 2=2.0", b""),
        ("Interp h 1 1 c h 0=2 1=2.0 2=2.0", b""),
        ("Interp i 1 1 d i 0=3 1=2.0 2=2.0", b""),
        ("Concat j 3 1 g h i j", b""),
        ("Split k 1 2 j k l", b""),
        ("Interp m 1 1 k m 0=3 1=0.75 2=0.75", b""),
        ("Interp n 1 1 l n 0=2 1=0.5 2=0.5", b""),
        ("Interp o 1 1 e o 0=3 1=1.5 2=1.5", b""),
    ]),
    "padding": ((2, 6, 5), lambda: [
        ("Padding a 1 1 x a 0=1 1=2 2=3 3=0 4=0", b""),
        ("Padding b 1 1 a b 0=2 1=1 2=1 3=3 4=1", b""),
        ("Padding c 1 1 b c 0=3 1=1 2=2 3=1 4=2", b""),
    ]),
    "activations": ((3, 6, 5), lambda: [
        ("PReLU a 1 1 x a 0=3", plain(3)),
        ("ReLU b 1 1 a b 0=0.5", b""),
        ("Clip c 1 1 b c 0=-2.0 1=1.5", b""),
        ("HardSwish d 1 1 c d 0=0.25 1=0.5", b""),
        ("Mish e 1 1 d e", b""),
        ("Swish f 1 1 e f", b""),
        ("TanH g 1 1 f g", b""),
        ("ELU h 1 1 g h 0=0.7", b""),
        ("Sigmoid i 1 1 h i", b""),
        ("ReLU j 1 1 i j", b""),
    ]),
    "by channel": ((3, 6, 5), lambda: [
        ("BatchNorm a 1 1 x a 0=3 1=0.001", plain(3) + plain(3) + np.abs(RNG.normal(size=3)).astype("<f4").tobytes() + plain(3)),
        ("Scale b 1 1 a b 0=3 1=1", plain(3) + plain(3)),
        ("Split s 1 2 b c d", b""),
        ("Reduction e 1 1 c e 0=3 1=0 -23303=2,1,2 4=1 5=1", b""),
        conv("Convolution", "f", "e", "f", 3, 3, (1, 1)),
        ("BinaryOp g 2 1 d f g 0=2", b""),
    ]),
}


def binary(lines):
    """The same in the binary form; its blobs are numbered."""
    blobs = {}
    data = struct.pack("<iii", 7767517, len(lines), sum(int(line.split()[3]) for line in lines))
    for line in lines:
        kind, _, inputs, outputs, *rest = line.split()
        inputs, outputs = int(inputs), int(outputs)
        names, words = rest[: inputs + outputs], rest[inputs + outputs :]
        for name in names[inputs:]:
            blobs[name] = len(blobs)
        data += struct.pack("<iii", KINDS[kind], inputs, outputs) + b"".join(struct.pack("<i", blobs[n]) for n in names)
        number = lambda text: struct.pack("<f", float(text)) if "." in text else struct.pack("<i", int(text))
        for word in words:
            key, value = word.split("=")
            values = value.split(",")
            data += struct.pack("<i", int(key)) + (b"" if len(values) == 1 else number(values[0]))
            data += b"".join(map(number, values if len(values) == 1 else values[1:]))
        data += struct.pack("<i", -233)
    return data


def run(param, weights, x, outputs, form):
    """What ncnn gives for these blobs: names, or numbers in the binary form."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "param").write_bytes(param)
        (path / "bin").write_bytes(weights)
        net = ncnn.Net()
        for option in ("use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                       "use_bf16_storage", "use_packing_layout", "use_winograd_convolution", "use_sgemm_convolution"):
            setattr(net.opt, option, False)
        load = net.load_param_bin if form == "binary" else net.load_param
        assert load(str(path / "param")) == 0 and net.load_model(str(path / "bin")) == 0
        extractor = net.create_extractor()
        extractor.input(0 if form == "binary" else "x", ncnn.Mat(x).clone())
        results = []
        for output in outputs:
            code, mat = extractor.extract(output)
            assert code == 0, output
            results.append(np.array(mat))
        return results


def save(path, tensors):
    """A safetensors file."""
    header, data = {}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        kind = {"float32": "F32", "uint8": "U8"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    tensors = {}
    for name, (shape, make) in CASES.items():
        layers = [(f"Input x 0 1 x 2={shape[0]}", b"")] + make()
        lines, weights = [line for line, _ in layers], b"".join(part for _, part in layers)
        reads = {blob for line in lines for blob in line.split()[4 : 4 + int(line.split()[2])]}
        blobs = [b for line in lines for b in line.split()[4 + int(line.split()[2]) :][: int(line.split()[3])]]
        outputs = [blob for blob in blobs if blob not in reads]
        param = "\n".join(["7767517", f"{len(lines)} {len(blobs)}"] + lines) + "\n"
        x = RNG.normal(size=shape).astype("f4")
        results = run(param.encode(), weights, x, outputs, "text")
        again = run(binary(lines), weights, x, [blobs.index(output) for output in outputs], "binary")
        for a, b in zip(results, again):
            assert a.shape == b.shape and np.array_equal(a, b), (name, a.shape, b.shape, np.abs(a - b).max())
        for key, data in {"param": param.encode(), "binary": binary(lines), "bin": weights}.items():
            tensors[f"{name}/{key}"] = np.frombuffer(data, "u1")
        tensors[f"{name}/input"] = x
        for number, y in enumerate(results):
            tensors[f"{name}/output {number}"] = y.astype("f4")
    target = pathlib.Path(__file__).parent.parent / "tests/data/ncnn.safetensors"
    save(target, tensors)
    print(f"{target}: {len(CASES)} networks")


main()
