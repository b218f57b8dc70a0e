"""models.py FOLDER WORKLOAD...: the layers of these names, with their seeded data, and the network waifu2x-photo at 256x256, as
ONNX models for measure.js. Needs numpy and onnx."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np  # noqa: E402
from peers import OnnxUpscaler, layers, onnx_model  # noqa: E402


class Exported(OnnxUpscaler):
    def prepare(self, threads):
        pass


def main():
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    for layer in layers():
        if layer.name not in names:
            continue
        x, weight, bias = layer.tensors()
        (folder / f"{layer.name}.onnx").write_bytes(onnx_model(layer, x, weight, bias))
        for name, array in (("x", x), ("w", weight), ("b", bias)):
            (folder / f"{layer.name}.{name}").write_bytes(np.ascontiguousarray(array, np.float32).tobytes())
        table.append(
            {
                "name": layer.name,
                "x": list(x.shape),
                "w": list(weight.shape),
                "options": {
                    "strides": layer.stride,
                    "pads": [[p, p] for p in layer.padding],
                    "output_padding": layer.output_padding,
                    "groups": layer.groups,
                },
            }
        )
    network = Exported(256, 256, 1)
    (folder / "network.onnx").write_bytes(network.model())
    (folder / "table.json").write_text(json.dumps({"layers": table, "network": network.shape}))


main()
