#!/usr/bin/env python3
"""Times other engines on the layers of `upconv bench` and prints how upconv compares with them.

    peers.py table --upconv PROGRAM [--rust PROGRAM] [...]   everything that is installed, as a table of ratios
    peers.py one ENGINE WORKLOAD [...]                       one measurement, as JSON
    peers.py network --rust PROGRAM [...]                    a whole upscaler, as a table
    peers.py graphs --rust PROGRAM [...] NET.param [...]     other networks, as a table

The layers come from workloads.json of the command, the numbers from the same generator. Every output is compared with
an f64 evaluation by numpy before anything is timed; one that differs by more than 1e-4 of the largest value is marked.
Each measurement is a process of its own, and those of a workload follow each other, so that a machine's ups and downs
touch all of them. All engines on the CPU get the same number of threads. Needs numpy; torch, onnxruntime and openvino
(with onnx) and ncnn are used where they are installed, and the engines of this folder's Rust program that it was built
with.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# OpenMP threads that spin while they wait would take the processor from the next measurement.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

WORKLOADS = Path(__file__).resolve().parents[2] / "cli/src/bench/workloads.json"
TOLERANCE = 1e-4


class Layer:
    """A workload with its numbers: float32, channels first, weight [C_in, C_out / groups, k...]."""

    def __init__(self, entry):
        self.name, self.title = entry["name"], entry["title"]
        self.kernel, self.stride, self.padding = entry["kernel"], entry["stride"], entry["padding"]
        self.output_padding = entry.get("output_padding", [0] * len(self.kernel))
        self.groups = entry.get("groups", 1)
        self.shape, self.out_channels = entry["input"], entry["out_channels"]
        self.same_for_all = not entry.get("channels_last") and not entry.get("f16")
        self.only_by_name = entry.get("only_by_name", False)

    @property
    def rank(self):
        return len(self.kernel)

    @property
    def weight_shape(self):
        return [self.shape[1], self.out_channels // self.groups, *self.kernel]

    @property
    def flops(self):
        return 2 * math.prod(self.shape) * math.prod(self.weight_shape[1:])

    def tensors(self):
        return numbers(1, self.shape), numbers(2, self.weight_shape), numbers(3, [self.out_channels])


def layers():
    return [Layer(entry) for entry in json.loads(WORKLOADS.read_text())]


def numbers(seed, shape):
    """As `element` of workloads.rs: the upper 24 bits of SplitMix64, spread evenly over [-1, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32)
    return (bits / np.float32(1 << 23) - np.float32(1)).reshape(shape)


def expected(layer, x, weight, bias):
    """The definition in f64: each tap's product lands on every stride-th output."""
    batch, channels, *spatial = x.shape
    groups, share = layer.groups, layer.out_channels // layer.groups
    inputs = x.astype(np.float64).reshape(batch, groups, channels // groups, -1)
    taps = weight.astype(np.float64).reshape(groups, channels // groups, share, *layer.kernel)
    full = [
        (extent - 1) * stride + kernel + more
        for extent, stride, kernel, more in zip(spatial, layer.stride, layer.kernel, layer.output_padding)
    ]
    y = np.zeros([batch, layer.out_channels, *full])
    for tap in np.ndindex(*layer.kernel):
        product = taps[(..., *tap)].transpose(0, 2, 1) @ inputs
        lands = [slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, spatial, layer.stride)]
        y[(slice(None), slice(None), *lands)] += product.reshape(batch, layer.out_channels, *spatial)
    cropped = [slice(p, extent - p) for p, extent in zip(layer.padding, full)]
    y = y[(slice(None), slice(None), *cropped)]
    return y + bias.astype(np.float64).reshape(1, -1, *[1] * layer.rank)


class Unsupported(Exception):
    """An engine cannot run a layer, or is not installed."""


class Torch:
    """PyTorch on the CPU, in inference mode."""

    def __init__(self, layer, x, weight, bias, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.version = torch.__version__
        call = getattr(torch.nn.functional, f"conv_transpose{layer.rank}d")
        x, weight, bias = (torch.from_numpy(array) for array in (x, weight, bias))
        self.call = lambda: call(x, weight, bias, layer.stride, layer.padding, layer.output_padding, layer.groups)

    def output(self):
        return self.call().numpy()


class OnnxRuntime:
    """ONNX Runtime's CPU provider; the weights are constants of the model."""

    def __init__(self, layer, x, weight, bias, threads):
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = onnx_model(layer, x, weight, bias)
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        self.call = lambda: session.run(None, {"x": x})

    def output(self):
        return self.call()[0]


class OpenVino:
    """OpenVINO on the CPU, in float32; the weights are constants of the model."""

    def __init__(self, layer, x, weight, bias, threads):
        import openvino

        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        model = core.read_model(onnx_model(layer, x, weight, bias), b"")
        self.request = core.compile_model(model, "CPU", options).create_infer_request()
        tensor = openvino.Tensor(x)
        self.call = lambda: self.request.infer({0: tensor})

    def output(self):
        self.call()
        return self.request.get_output_tensor(0).data


def onnx_model(layer, x, weight, bias):
    """The layer as an ONNX model, weights and bias its constants."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node(
        "ConvTranspose",
        ["x", "w", "b"],
        ["y"],
        strides=layer.stride,
        pads=layer.padding * 2,
        output_padding=layer.output_padding,
        group=layer.groups,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * x.ndim)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Ncnn:
    """ncnn on the CPU. It has no batch: the items are one call each."""

    vulkan = False
    types = {1: "Deconvolution1D", 2: "Deconvolution", 3: "Deconvolution3D"}
    # The numbers by which a layer's parameters are known, axis by axis, the last axis first.
    kernel, dilation, stride = (1, 11, 21), (2, 12, 22), (3, 13, 23)
    pad_begin, pad_end, output_padding = (4, 14, 24), (15, 16, 17), (18, 19, 20)

    def __init__(self, layer, x, weight, bias, threads):
        import ncnn

        self.ncnn, self.version = ncnn, ncnn.__version__
        if self.vulkan and layer.rank != 2:
            raise Unsupported("its Vulkan layers are 2-D only")
        if self.vulkan and ncnn.get_gpu_count() == 0:
            raise Unsupported("it finds no Vulkan device")
        self.net = ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        options.use_vulkan_compute = self.vulkan
        for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(options, f"use_{narrow}", False)
        with tempfile.TemporaryDirectory() as folder:
            param, data = f"{folder}/layer.param", f"{folder}/layer.bin"
            Path(param).write_text(self.text(layer))
            share, inputs = layer.out_channels // layer.groups, layer.shape[1] // layer.groups
            grouped = weight.reshape(layer.groups, inputs, share, -1).transpose(0, 2, 1, 3)
            # A tag of 0 says float32.
            Path(data).write_bytes(b"\0\0\0\0" + grouped.tobytes() + bias.tobytes())
            if self.net.load_param(param) or self.net.load_model(data):
                raise Unsupported("it refuses the layer")
        if not any(loaded.type.startswith("Deconvolution") for loaded in self.net.layers()):
            raise Unsupported("it has no such layer")
        self.items = [ncnn.Mat(item).clone() for item in x]

    def text(self, layer):
        kind = self.types[layer.rank]
        grouped = ""
        if layer.groups > 1:
            kind = kind.replace("Deconvolution", "DeconvolutionDepthWise")
            grouped = f" 7={layer.groups}"
        parameters = f"0={layer.out_channels} 5=1 6={math.prod(layer.weight_shape)}{grouped}"
        for numbers, values in (
            (self.kernel, layer.kernel),
            (self.dilation, [1] * layer.rank),
            (self.stride, layer.stride),
            (self.pad_begin, layer.padding),
            (self.pad_end, layer.padding),
            (self.output_padding, layer.output_padding),
        ):
            parameters += "".join(f" {number}={value}" for number, value in zip(numbers, reversed(values)))
        # On the GPU, x is what the input was copied to, and the crop spares the timed call the readback.
        corner = " ".join(["1=0", "2=0", "0=0", "3=1", "4=1", f"5={layer.out_channels}"])
        lines = [
            "Input input 0 1 in",
            "ReLU resident 1 1 in x 0=1.0",
            f"{kind} layer 1 1 x out {parameters}",
            "Split both 1 2 out y z",
            f"Crop corner 1 1 z corner {corner}",
        ]
        if not self.vulkan:
            lines = ["Input input 0 1 x", f"{kind} layer 1 1 x y {parameters}"]
        blobs = 6 if self.vulkan else 2
        return f"7767517\n{len(lines)} {blobs}\n" + "\n".join(lines) + "\n"

    def extract(self, item, blob, light=True):
        extractor = self.net.create_extractor()
        extractor.set_light_mode(light)
        extractor.input("x" if not self.vulkan else "in", item)
        code, mat = extractor.extract(blob)
        if code:
            raise Unsupported(f"it fails with {code}")
        return extractor, mat

    def call(self):
        for item in self.items:
            self.extract(item, "y")

    def output(self):
        return np.stack([np.array(self.extract(item, "y")[1]) for item in self.items])


class NcnnVulkan(Ncnn):
    """ncnn on Vulkan, input and output on the device: the input is copied before, and one corner is read back."""

    vulkan = True

    def timed(self):
        seconds = 0.0
        for item in self.items:
            extractor, _ = self.extract(item, "x", light=False)
            start = time.perf_counter()
            code, _ = extractor.extract("corner")
            seconds += time.perf_counter() - start
            if code:
                raise Unsupported(f"it fails with {code}")
        return seconds


ENGINES = {
    "ncnn-vulkan": NcnnVulkan,
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "ncnn-cpu": Ncnn,
}


def one(engine, layer, seconds, threads):
    """One measurement, as an object of `upconv bench --json` with the engine's name."""
    x, weight, bias = layer.tensors()
    row = {"workload": layer.name, "engine": engine, "device": "gpu" if engine == "ncnn-vulkan" else "cpu"}
    try:
        if not layer.same_for_all:
            raise Unsupported("it is not run with this layout or type")
        start = time.perf_counter()
        ready = ENGINES[engine](layer, x, weight, bias, threads)
        output = ready.output()
        row["first_call_ms"] = (time.perf_counter() - start) * 1e3
    except (Unsupported, ImportError) as reason:
        return row | {"error": str(reason), "median_ms": None}
    right = expected(layer, x, weight, bias)
    if output.shape != right.shape:
        return row | {"error": f"shape {output.shape} instead of {right.shape}", "median_ms": None}
    error = float(np.abs(output - right).max() / np.abs(right).max())

    def clock():
        start = time.perf_counter()
        ready.call()
        return time.perf_counter() - start

    clock = getattr(ready, "timed", clock)
    clock()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        times.append(clock())
    median = float(np.median(times))
    return row | {
        "version": ready.version,
        "threads": threads,
        "relative_error": error,
        "error": None if error <= TOLERANCE else f"differs by {error:.1e} of the largest value",
        "runs": len(times),
        "median_ms": median * 1e3,
        "min_ms": min(times) * 1e3,
        "gflops": layer.flops / median / 1e9,
    }


def rows_of(command, threads):
    """The rows that a program prints; none, with a word on why, where it prints no JSON."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    # ncnn and autotuning talk on standard error; it is shown where something went wrong.
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    try:
        rows = json.loads(done.stdout)
    except json.JSONDecodeError:
        print(done.stderr, f"{command} ended with {done.returncode} and printed no JSON", sep="", file=sys.stderr)
        return []
    return rows if isinstance(rows, list) else [rows]


def ours(options, layer):
    """Our rows, on the devices that the peers are compared with."""
    devices = sorted({PAIRS[peer].removeprefix("upconv-") for peer in options.engines})
    devices = [device for device in devices if not device.startswith("beside-burn")]
    if not devices:
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [options.upconv, "bench", "--workloads", layer.name, "--device", ",".join(devices)]
        environment = os.environ | {"RAYON_NUM_THREADS": str(options.threads)}
        subprocess.run(
            [*command, "--json", str(path), "--seconds", str(options.seconds)],
            stdout=subprocess.DEVNULL,
            env=environment,
            check=False,
        )
        rows = json.loads(path.read_text()) if path.exists() else []
    return [row | {"engine": f"upconv-{row['device']}"} for row in rows]


def measure(options, layer):
    """All rows of a layer, of the round whose median was the shortest."""
    best = {}
    for _ in range(options.rounds):
        rows = ours(options, layer)
        for engine in options.engines:
            command = [sys.executable, __file__, "one", engine, layer.name, "--threads", str(options.threads)]
            if engine in options.rust_engines:
                command = [options.rust, engine, layer.name]
            rows += rows_of([*command, "--seconds", str(options.seconds)], options.threads)
        for row in rows:
            row["median_ms"] = row.get("median_ms")
            kept = best.get(row["engine"])
            if kept is None or (row["median_ms"] or math.inf) < (kept["median_ms"] or math.inf):
                best[row["engine"]] = row
    return best


# Each peer with the row of ours that it is compared with.
PAIRS = {
    # burn is timed in turn with upconv.
    "burn": "upconv-beside-burn",
    "burn-input-gradient": "upconv-beside-burn-input-gradient",
    "burn-weight-gradient": "upconv-beside-burn-weight-gradient",
    "ncnn-vulkan": "upconv-gpu",
    "torch": "upconv-cpu",
    "onnxruntime": "upconv-cpu",
    "openvino": "upconv-cpu",
    "ncnn-cpu": "upconv-cpu",
    "burn-flex": "upconv-cpu",
    "candle": "upconv-cpu",
    "tract": "upconv-cpu",
}


def table(options):
    chosen = [layer for layer in layers() if layer.same_for_all]
    if options.workloads:
        names = options.workloads.upper().split(",")
        unknown = set(names) - {layer.name.upper() for layer in chosen}
        if unknown:
            sys.exit(f"no such workload: {', '.join(sorted(unknown))}; known: {', '.join(l.name for l in chosen)}")
        chosen = [layer for layer in chosen if layer.name.upper() in names]
    else:
        chosen = [layer for layer in chosen if layer.name.startswith("W")]
    peers = options.engines
    print("Milliseconds of a warm call, tensors on the device, and how many times as long as upconv's it takes.")
    print("burn and ncnn-vulkan are compared with upconv on the GPU, burn in one process and on one wgpu device;")
    print(f"the others with its CPU backend, all on {options.threads} threads.")
    print("! marks an output that is wrong, - what is not supported.\n")
    print(f"{'':<21}{'upconv gpu':>12}{'upconv cpu':>12}" + "".join(f"{peer:>18}" for peer in peers))
    ratios, everything = {peer: [] for peer in peers}, []
    for layer in chosen:
        rows = measure(options, layer)
        everything += rows.values()
        line = f"{layer.name:<5}{layer.title:<16}"
        for engine in ("upconv-gpu", "upconv-cpu"):
            line += f"{shown(rows.get(engine)):>12}"
        for peer in peers:
            row, own = rows.get(peer), rows.get(PAIRS[peer])
            cell = shown(row)
            if row and own and row["median_ms"] and own["median_ms"]:
                ratio = row["median_ms"] / own["median_ms"]
                cell += f"{factor(ratio):>9}"
                if not row["error"] and not own["error"]:
                    ratios[peer].append(ratio)
            line += f"{cell:>18}"
        print(line, flush=True)
    line = f"{'geometric mean':<45}"
    for peer in peers:
        values = ratios[peer]
        mean = math.exp(sum(map(math.log, values)) / len(values)) if values else None
        line += f"{f'{factor(mean)} of {len(values)}' if mean else '-':>18}"
    print(line)
    for row in everything:
        if row.get("error"):
            print(f"{row['workload']}, {row['engine']}: {row['error']}")
    if options.json:
        Path(options.json).write_text(json.dumps(everything, indent=2) + "\n")


class Upscaler:
    """The network waifu2x-photo, from the bytes of a picture [h, w, 3] to those of one twice as large."""

    border = 7

    def __init__(self, height, width, threads):
        data = (Path(__file__).resolve().parents[2] / "assets/waifu2x-photo.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        header, data = json.loads(data[8 : 8 + size]), data[8 + size :]
        missing = {"stride": 1, "padding": 0, "activation": {"kind": "none"}}
        self.layers = [missing | layer for layer in json.loads(header["__metadata__"]["upconv"])["layers"]]

        def tensor(name):
            begin, end = header[name]["data_offsets"]
            kind = {"F16": np.float16, "F32": np.float32}[header[name]["dtype"]]
            return np.frombuffer(data[begin:end], kind).astype(np.float32).reshape(header[name]["shape"])

        self.weights = [(tensor(layer["weight"]), tensor(layer["bias"])) for layer in self.layers]
        self.shape = [1, 3, height + 2 * self.border, width + 2 * self.border]
        self.prepare(threads)

    def __call__(self, picture):
        border = self.border
        padded = np.pad(picture, ((border, border), (border, border), (0, 0)), mode="edge")
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), dtype=np.float32)
        planes *= np.float32(1 / 255)
        made = self.run(planes[None])
        made = np.clip(made * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(made.transpose(1, 2, 0))


class OnnxUpscaler(Upscaler):
    def model(self):
        from onnx import TensorProto, helper, numpy_helper

        nodes, constants, x = [], [], "x"
        for index, (layer, parameters) in enumerate(zip(self.layers, self.weights)):
            names = [f"w{index}", f"b{index}"]
            constants += [numpy_helper.from_array(array, name) for array, name in zip(parameters, names)]
            kind = {"conv": "Conv", "deconv": "ConvTranspose"}[layer["kind"]]
            pads, strides = [layer["padding"]] * 2, [layer["stride"]] * 2
            pads = [one for pad in pads for one in (pad if isinstance(pad, list) else [pad] * 2)]
            strides = layer["stride"] if isinstance(layer["stride"], list) else strides
            # onnxruntime-web takes no default of dilations.
            geometry = {"pads": pads, "strides": strides, "dilations": [1, 1]}
            nodes.append(helper.make_node(kind, [x, *names], [f"s{index}"], **geometry))
            x = f"s{index}"
            if layer["activation"]["kind"] == "leaky_relu":
                nodes.append(helper.make_node("LeakyRelu", [x], [f"a{index}"], alpha=layer["activation"]["alpha"]))
                x = f"a{index}"
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        graph = helper.make_graph(nodes, "net", inputs, [helper.make_tensor_value_info(x, 1, None)], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return model.SerializeToString()


class OnnxRuntimeUpscaler(OnnxUpscaler):
    def prepare(self, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(self.model(), options, ["CPUExecutionProvider"])
        self.run = lambda x: session.run(None, {"x": x})[0][0]


class OpenVinoUpscaler(OnnxUpscaler):
    def prepare(self, threads):
        import openvino

        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(core.read_model(self.model(), b""), "CPU", options).create_infer_request()

        def run(x):
            request.infer({0: openvino.Tensor(x)})
            return request.get_output_tensor(0).data[0]

        self.run = run


class NcnnUpscaler(Upscaler):
    vulkan = False

    def prepare(self, threads):
        import ncnn

        self.net = net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = self.vulkan
        for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{narrow}", False)
        lines, data, x = ["Input input 0 1 x"], b"", "x"
        for index, (layer, (weight, bias)) in enumerate(zip(self.layers, self.weights)):
            kind = {"conv": "Convolution", "deconv": "Deconvolution"}[layer["kind"]]
            if kind == "Deconvolution":
                weight = np.ascontiguousarray(weight.transpose(1, 0, 2, 3))
            one = lambda value: value[0] if isinstance(value, list) else value
            line = f"{kind} l{index} 1 1 {x} y{index} 0={len(bias)} 1={weight.shape[2]} 3={one(layer['stride'])}"
            line += f" 4={one(layer['padding'])} 5=1 6={weight.size}"
            if layer["activation"]["kind"] == "leaky_relu":
                line += f" 9=2 -23310=1,{layer['activation']['alpha']}"
            lines.append(line)
            data += b"\0\0\0\0" + weight.tobytes() + bias.tobytes()
            x = f"y{index}"
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "p").write_text(f"7767517\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n")
            Path(folder, "b").write_bytes(data)
            if net.load_param(f"{folder}/p") or net.load_model(f"{folder}/b"):
                raise Unsupported("it refuses the network")

        def run(planes):
            extractor = net.create_extractor()
            extractor.input("x", ncnn.Mat(planes[0]).clone())
            code, made = extractor.extract(x)
            if code:
                raise Unsupported(f"it fails with {code}")
            return np.array(made)

        self.run = run


class NcnnVulkanUpscaler(NcnnUpscaler):
    vulkan = True


UPSCALERS = {"ncnn-vulkan": NcnnVulkanUpscaler, "onnxruntime": OnnxRuntimeUpscaler, "openvino": OpenVinoUpscaler, "ncnn-cpu": NcnnUpscaler}


def upscaler(engine, path, width, seconds, threads):
    """One engine's measurement of the network, as JSON, and its picture in place of the one that was read."""
    picture = np.fromfile(path, np.uint8).reshape(-1, width, 3)
    run = UPSCALERS[engine](*picture.shape[:2], threads)
    run(picture).tofile(path)
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run(picture)
        times.append(time.perf_counter() - start)
    return {"engine": engine, "median_ms": float(np.median(times)) * 1e3, "min_ms": min(times) * 1e3}


def network(options):
    print("waifu2x-photo: milliseconds from 8-bit picture to 8-bit picture twice as large, warm, and how many")
    print(f"times as long as upconv it takes on the same device; all on {options.threads} threads. In brackets the")
    print("bytes, in a million, that are not upconv's.\n")
    for side in (int(side) for side in options.sides.split(",")):
        y, x, c = np.mgrid[:side, :side, :3]
        waves = 128 + 80 * np.sin(x / (9 + c)) * np.cos(y / (13 - c)) + 40 * ((x // 37 + y // 29 + c) % 2)
        picture = np.clip(waves, 0, 255).astype(np.uint8)
        best = {}
        for _ in range(options.rounds):
            for engine in ["upconv-gpu", "upconv", *(engine for engine in UPSCALERS if engine in installed())]:
                with tempfile.TemporaryDirectory() as folder:
                    path = f"{folder}/picture"
                    picture.tofile(path)
                    command = [sys.executable, __file__, "upscaler", engine, path, str(side)]
                    command += ["--threads", str(options.threads)]
                    if engine in ("upconv", "upconv-gpu"):
                        device = "gpu" if engine == "upconv-gpu" else "cpu"
                        command = [options.rust, "network", device, path, path, str(side)]
                    for row in rows_of([*command, "--seconds", str(options.seconds)], options.threads):
                        row["bytes"] = np.fromfile(path, np.uint8)
                        if engine not in best or row["median_ms"] < best[engine]["median_ms"]:
                            best[engine] = row
        for engine, row in best.items():
            own = best["upconv-gpu" if engine in ("upconv-gpu", "ncnn-vulkan") else "upconv"]
            off = np.count_nonzero(row["bytes"] != own["bytes"]) / own["bytes"].size * 1e6
            wrong = "!" if np.abs(row["bytes"].astype(int) - own["bytes"]).max() > 1 else ""
            ratio = factor(row["median_ms"] / own["median_ms"])
            print(f"{side}x{side}  {engine:<12}{row['median_ms']:>9.1f}{ratio:>9}  ({off:.0f}{wrong})", flush=True)


def raw(engine, net, path, side, seconds, threads):
    """One engine's measurement of ncnn's NET.param, or of the ONNX file beside it, as JSON, and what it makes of the planes
    [1, 3, side, side] in place of them."""
    planes = np.fromfile(path, np.float32).reshape(1, 3, side, side)
    if engine.startswith("ncnn"):
        import ncnn

        model = ncnn.Net()
        model.opt.num_threads, model.opt.use_vulkan_compute = threads, engine == "ncnn-vulkan"
        for narrow in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(model.opt, f"use_{narrow}", False)
        if model.load_param(net) or model.load_model(str(Path(net).with_suffix(".bin"))):
            raise Unsupported("it refuses the network")

        def run():
            extractor = model.create_extractor()
            extractor.input(model.input_names()[0], ncnn.Mat(planes[0]).clone())
            return np.array(extractor.extract(model.output_names()[0])[1])
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(Path(net).with_suffix(".onnx")), options, ["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        run = lambda: session.run(None, {name: planes})[0]
    run().astype(np.float32).tofile(path)
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"engine": engine, "median_ms": float(np.median(times)) * 1e3, "min_ms": min(times) * 1e3}


def graphs(options):
    print("Networks of ncnn, from planes of f32 to planes of f32: milliseconds, warm, and how many times as long as upconv it")
    print(f"takes on the same device; all on {options.threads} threads. In brackets the largest difference from upconv's.\n")
    for net in options.nets:
        for side in (int(side) for side in options.sides.split(",")):
            side += 2 * options.border
            y, x, c = np.mgrid[:side, :side, :3]
            waves = 128 + 80 * np.sin(x / (9 + c)) * np.cos(y / (13 - c)) + 40 * ((x // 37 + y // 29 + c) % 2)
            planes = np.ascontiguousarray(np.clip(waves / 255, 0, 1).astype(np.float32).transpose(2, 0, 1))
            best = {}
            others = [engine for engine in ("ncnn-vulkan", "ncnn-cpu") if engine in installed()]
            if "onnxruntime" in installed() and Path(net).with_suffix(".onnx").exists():
                others.append("onnxruntime")
            for _ in range(options.rounds):
                for engine in ["upconv-gpu", "upconv", *others]:
                    with tempfile.TemporaryDirectory() as folder:
                        path = f"{folder}/planes"
                        planes.tofile(path)
                        command = [sys.executable, __file__, "raw", engine, net, path, str(side)]
                        command += ["--threads", str(options.threads)]
                        if engine.startswith("upconv"):
                            device = "gpu" if engine == "upconv-gpu" else "cpu"
                            command = [options.rust, "graph", device, net, path, path, str(side)]
                        for row in rows_of([*command, "--seconds", str(options.seconds)], options.threads):
                            row["planes"] = np.fromfile(path, np.float32)
                            if engine not in best or row["median_ms"] < best[engine]["median_ms"]:
                                best[engine] = row
            for engine, row in best.items():
                own = best["upconv-gpu" if engine in ("upconv-gpu", "ncnn-vulkan") else "upconv"]
                off = np.abs(row["planes"] - own["planes"]).max()
                name, ratio = "/".join(Path(net).parts[-2:]), factor(row["median_ms"] / own["median_ms"])
                print(f"{name}  {side}x{side}  {engine:<12}{row['median_ms']:>9.1f}{ratio:>9}  ({off:.0e})", flush=True)


def shown(row):
    if not row or not row["median_ms"]:
        return "!" if row and row["engine"].startswith("upconv") else "-"
    value = row["median_ms"]
    text = f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"
    return text + ("!" if row["error"] else "")


def factor(ratio):
    return f"{ratio:.2f}x" if ratio >= 0.995 else f"{ratio:.2g}x"


def installed():
    """The engines whose packages are here."""
    from importlib.util import find_spec

    needs = {
        "ncnn-vulkan": ["ncnn"],
        "torch": ["torch"],
        "onnxruntime": ["onnxruntime", "onnx"],
        "openvino": ["openvino", "onnx"],
        "ncnn-cpu": ["ncnn"],
    }
    return [engine for engine in ENGINES if all(find_spec(package) for package in needs[engine])]


def built(program):
    """The engines of this folder's Rust program."""
    return subprocess.run([program, "list"], capture_output=True, text=True, check=True).stdout.split() if program else []


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name in ("table", "one", "network", "upscaler", "graphs", "raw"):
        command = commands.add_parser(name)
        command.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
        command.add_argument("--threads", type=int, default=threads)
        if name == "one":
            command.add_argument("engine", choices=ENGINES)
            command.add_argument("workload")
            continue
        if name == "upscaler":
            command.add_argument("engine", choices=UPSCALERS)
            command.add_argument("path")
            command.add_argument("width", type=int)
            continue
        if name == "raw":
            command.add_argument("engine", choices=["ncnn-cpu", "ncnn-vulkan", "onnxruntime"])
            command.add_argument("net")
            command.add_argument("path")
            command.add_argument("side", type=int)
            continue
        command.add_argument("--rust", required=name in ("network", "graphs"), help="the program of this folder")
        if name == "graphs":
            command.add_argument("nets", nargs="+", metavar="NET.param", help="with NET.bin beside it, and NET.onnx for ONNX Runtime")
            command.add_argument("--sides", default="256,512", help="of the pictures, in pixels")
            command.add_argument("--border", type=int, default=0, help="around them")
            command.add_argument("--rounds", type=int, default=1, help="the round with the shortest median counts")
            continue
        if name == "network":
            command.add_argument("--sides", default="256,512", help="of the pictures, in pixels")
            command.add_argument("--rounds", type=int, default=1, help="the round with the shortest median counts")
            continue
        command.add_argument("--upconv", required=True, help="the program")
        command.add_argument("--workloads", help="W1,W3,...; all of the table by default")
        command.add_argument("--engines", type=lambda text: text.split(","), help=", ".join(PAIRS))
        command.add_argument("--rounds", type=int, default=1, help="the round with the shortest median counts")
        command.add_argument("--json", help="write all rows to a file")
    options = parser.parse_args()
    if options.command == "one":
        layer = next((layer for layer in layers() if layer.name.upper() == options.workload.upper()), None)
        if layer is None:
            sys.exit(f"no such workload: {options.workload}")
        print(json.dumps(one(options.engine, layer, options.seconds, options.threads)))
        return
    if options.command == "upscaler":
        print(json.dumps(upscaler(options.engine, options.path, options.width, options.seconds, options.threads)))
        return
    if options.command == "network":
        network(options)
        return
    if options.command == "raw":
        print(json.dumps(raw(options.engine, options.net, options.path, options.side, options.seconds, options.threads)))
        return
    if options.command == "graphs":
        graphs(options)
        return
    options.rust_engines = built(options.rust)
    known = options.rust_engines + installed()
    if options.engines is None:
        options.engines = [engine for engine in known if not engine.endswith("-gradient")]
    for engine in options.engines:
        if engine not in known:
            sys.exit(f"not installed or not built: {engine}; there are {', '.join(known)}")
    missing = [engine for engine in PAIRS if engine not in known]
    if missing:
        print(f"not installed or not built: {', '.join(missing)}", file=sys.stderr)
    table(options)


if __name__ == "__main__":
    main()
