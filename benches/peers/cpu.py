#!/usr/bin/env python3
"""Compares the CPU backend with PyTorch, ONNX Runtime, OpenVINO and ncnn on ten transposed convolutions.

    pip install numpy torch onnx onnxruntime openvino ncnn
    python benches/peers/cpu.py [--threads 2] [--rounds 5] [--seconds 0.3] [--json FILE] [W1 W4 ...]

All get the same numbers (those of benches/cpu.rs), f32 from host memory to host memory with a bias, and the same number
of threads. Every output is compared with PyTorch's in f64 first. Then the engines take turns, round by round, so that a
disturbance meets all of them; a figure is the median of the runs of a round, and of the rounds the least disturbed one's
counts. Layers are warm: weights are packed and caches filled before anything is timed. ncnn has no batch: it runs the
items one after another, and its inputs are wrapped beforehand.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

WORKLOADS = {  # name: (input shape, output channels, kernel, stride, padding, output padding, groups)
    "W1 dcgan early": ((16, 512, 4, 4), 256, 4, 2, 1, 0, 1),
    "W2 dcgan late": ((16, 128, 16, 16), 64, 4, 2, 1, 0, 1),
    "W3 unet up": ((1, 128, 128, 128), 64, 2, 2, 0, 0, 1),
    "W4 fsrcnn last": ((1, 56, 256, 256), 1, 9, 2, 4, 1, 1),
    "W5 fcn bilinear": ((1, 21, 10, 15), 21, 64, 32, 16, 0, 1),
    "W6 waifu2x last": ((1, 256, 128, 128), 3, 4, 2, 3, 0, 1),
    "W7 hifigan 1D": ((1, 512, 200), 256, 16, 8, 4, 0, 1),
    "W8 depthwise": ((1, 64, 128, 128), 64, 4, 2, 1, 0, 64),
    "W9 3D": ((1, 32, 16, 16, 16), 16, 4, 2, 1, 0, 1),
    "W10 stride 1": ((1, 64, 64, 64), 64, 3, 1, 1, 0, 1),
}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each engine and round")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("workloads", nargs="*", help="first words of their names")
    return parser.parse_args()


ARGS = arguments()
# Before the engines are loaded: threads that wait must not spin while another engine is timed.
os.environ["OMP_NUM_THREADS"] = str(ARGS.threads)
os.environ["OMP_WAIT_POLICY"] = "passive"

import ncnn  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(ARGS.threads)


def tensor(shape, seed):
    """Numbers between -1 and 1: the upper bits of a multiplicative hash of the index, as in benches/cpu.rs."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64)
    hashed = (index + np.uint64(seed)) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    return ((hashed >> np.uint64(8)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)


class Case:
    def __init__(self, name):
        shape, channels, kernel, stride, padding, output_padding, groups = WORKLOADS[name]
        self.name, self.channels, self.groups = name, channels, groups
        self.kernel, self.stride, self.padding, self.output_padding = kernel, stride, padding, output_padding
        self.rank = len(shape) - 2
        self.x = tensor(shape, 1)
        self.weight = tensor((shape[1], channels // groups) + (kernel,) * self.rank, 2)
        self.bias = tensor((channels,), 3)

    def torch_call(self, dtype):
        function = getattr(torch.nn.functional, f"conv_transpose{self.rank}d")
        x, weight, bias = (torch.from_numpy(a).to(dtype) for a in (self.x, self.weight, self.bias))
        options = {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "groups": self.groups,
        }

        def call():
            with torch.inference_mode():
                return function(x, weight, bias, **options).numpy()

        return call

    def onnx_model(self):
        value = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        node = onnx.helper.make_node(
            "ConvTranspose",
            ["x", "w", "b"],
            ["y"],
            strides=[self.stride] * self.rank,
            pads=[self.padding] * (2 * self.rank),
            output_padding=[self.output_padding] * self.rank,
            group=self.groups,
        )
        constants = [onnx.numpy_helper.from_array(self.weight, "w"), onnx.numpy_helper.from_array(self.bias, "b")]
        output = value("y", [None] * (self.rank + 2))
        graph = onnx.helper.make_graph([node], "g", [value("x", self.x.shape)], [output], constants)
        opset = onnx.helper.make_opsetid("", 17)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()

    def onnxruntime_call(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = ARGS.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(self.onnx_model(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": self.x})[0]

    def openvino_call(self):
        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": ARGS.threads, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(core.read_model(self.onnx_model(), b""), "CPU", options).create_infer_request()
        x = openvino.Tensor(self.x)

        def call():
            request.infer({0: x})
            return request.get_output_tensor(0).data

        return call

    def ncnn_call(self, folder):
        kind = "Deconvolution" + ("DepthWise" if self.groups > 1 else "") + {1: "1D", 2: "", 3: "3D"}[self.rank]
        parameters = {0: self.channels, 1: self.kernel, 3: self.stride, 4: self.padding, 5: 1, 6: self.weight.size}
        parameters |= {18: self.output_padding} | ({7: self.groups} if self.groups > 1 else {})
        text = f"7767517\n2 2\nInput x 0 1 x\n{kind} y 1 1 x y " + " ".join(f"{k}={v}" for k, v in parameters.items())
        model = pathlib.Path(folder) / "model"
        model.with_suffix(".param").write_text(text + "\n")
        weight = self.weight if self.groups > 1 else np.ascontiguousarray(self.weight.swapaxes(0, 1))
        model.with_suffix(".bin").write_bytes(np.uint32(0).tobytes() + weight.tobytes() + self.bias.tobytes())
        net = ncnn.Net()
        net.opt.num_threads = ARGS.threads
        net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        if net.load_param(str(model.with_suffix(".param"))) or net.load_model(str(model.with_suffix(".bin"))):
            raise RuntimeError(f"ncnn refuses {self.name}")
        items = [ncnn.Mat(item).clone() for item in self.x]

        def call():
            results = []
            for item in items:
                extractor = net.create_extractor()
                extractor.input("x", item)
                status, result = extractor.extract("y")
                if status:
                    raise RuntimeError(f"ncnn fails on {self.name}")
                results.append(result)
            call.net = net
            return results

        return call


def time_call(call):
    """The median of single runs, in milliseconds."""
    times = []
    end = time.perf_counter() + ARGS.seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def time_ours(binary, name, folder):
    report = pathlib.Path(folder) / "ours.json"
    command = [binary, "--threads", str(ARGS.threads), "--seconds", str(ARGS.seconds), "--unchecked"]
    subprocess.run([*command, "--json", report, name.split()[0]], check=True, stdout=subprocess.DEVNULL)
    return json.loads(report.read_text())[name]


def build():
    """Builds the benchmark and returns its program."""
    command = ["cargo", "bench", "--bench", "cpu", "--no-run", "--message-format=json", "-p", "upconv"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, text=True).stdout.splitlines()
    messages = [json.loads(line) for line in lines if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "cpu")


def main():
    binary = build()
    names = [name for name in WORKLOADS if not ARGS.workloads or name.split()[0] in ARGS.workloads]
    peers = ["torch", "onnxruntime", "openvino", "ncnn"]
    print(f"{ARGS.threads} threads, ms, least disturbed of {ARGS.rounds} rounds' medians")
    print(f"{'':<16}{'upconv':>9}" + "".join(f"{peer:>13}" for peer in peers) + f"{'best / ours':>13}{'torch / ours':>14}")
    figures, best_ratios, torch_ratios = {}, [], []
    for name in names:
        case = Case(name)
        with tempfile.TemporaryDirectory() as folder:
            calls = {
                "torch": case.torch_call(torch.float32),
                "onnxruntime": case.onnxruntime_call(),
                "openvino": case.openvino_call(),
                "ncnn": case.ncnn_call(folder),
            }
            expected = case.torch_call(torch.float64)()
            scale = np.abs(expected).max()
            for peer, call in calls.items():
                got = call()
                got = np.stack([np.array(item) for item in got]) if isinstance(got, list) else got
                error = np.abs(got - expected).max() / scale
                assert got.shape == expected.shape and error < 1e-5, f"{peer} on {name}: {got.shape}, error {error}"
            ours = time_ours(binary, name, folder)["sum_of_magnitudes"]
            assert abs(ours / np.abs(expected).sum() - 1) < 1e-5, f"upconv on {name}: {ours}"
            rounds = {engine: [] for engine in ["upconv", *peers]}
            for _ in range(ARGS.rounds):
                rounds["upconv"].append(time_ours(binary, name, folder)["ms"])
                for peer, call in calls.items():
                    rounds[peer].append(time_call(call))
        least = {engine: min(times) for engine, times in rounds.items()}
        figures[name] = rounds
        best = min(least[peer] for peer in peers) / least["upconv"]
        best_ratios.append(best)
        torch_ratios.append(least["torch"] / least["upconv"])
        row = "".join(f"{least[peer]:>13.3f}" for peer in peers)
        print(f"{name:<16}{least['upconv']:>9.3f}{row}{best:>13.2f}{torch_ratios[-1]:>14.2f}", flush=True)
    mean = statistics.geometric_mean
    print(f"{'geometric mean':<16}{'':>61}{mean(best_ratios):>13.2f}{mean(torch_ratios):>14.2f}")
    if ARGS.json:
        pathlib.Path(ARGS.json).write_text(json.dumps(figures, indent=1))


main()
