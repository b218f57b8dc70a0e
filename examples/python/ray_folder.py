"""Upscales a folder of pictures on all GPUs of a Ray cluster, one worker for each.

    pip install ./python "ray[data]"
    python ray_folder.py IN OUT --scale 2 --model waifu2x-photo

IN and OUT are seen by every machine under the same path. Each picture is made by the program `upconv` in a process of its
own, which keeps its colours, writes it whole or not at all, and whose end ends nothing else. So a picture that is there is
done: what was killed goes on when it is started again. A picture that fails is named at the end, and the exit status is 1.

Without GPUs a worker has `--cpus` cores; `--workers` says how many there are, by default as many as the cluster has room for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import upconv
from ray.data import ActorPoolStrategy

#: The endings of the pictures that the program reads, and those that it writes: others become PNG.
READ = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".qoi"}
WRITTEN = READ - {".bmp", ".dib", ".gif", ".qoi"}


def gpu_adapter(gpu: int) -> int:
    """The number of the adapter for Ray's GPU of this number on this machine.

    Vulkan and its like do not heed the variables by which Ray hides GPUs from CUDA. Both may count them in another order,
    but two workers never get the same one.
    """
    adapters = [device for device in upconv.devices() if device.auto and device.number is not None]
    # A GPU that several backends reach is listed for each.
    adapters = [device for device in adapters if device.backend == adapters[0].backend]
    if gpu >= len(adapters):
        names = ", ".join(device.name for device in adapters) or "none"
        raise RuntimeError(f"Ray has a GPU {gpu} here, and upconv finds {len(adapters)}: {names}")
    number = adapters[gpu].number
    assert number is not None
    return number


class Upscaler:
    """A worker: it runs the program on its GPU, or on its share of the cores."""

    def __init__(self, options: list[str], cpus: int) -> None:
        gpus = ray.get_gpu_ids()
        where = ["--adapter", str(gpu_adapter(int(gpus[0])))] if gpus else ["--device", "cpu"]
        self.command = [sys.executable, "-m", "upconv", "upscale", *options, *where]
        self.environment = {**os.environ} if gpus else {**os.environ, "RAYON_NUM_THREADS": str(cpus)}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"picture": batch["picture"], "problem": [self.upscale(*pair) for pair in zip(batch["picture"], batch["out"])]}

    def upscale(self, picture: str, out: str) -> str:
        """Why the picture could not be made; empty if it was."""
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        run = subprocess.run([*self.command, picture, out], env=self.environment, capture_output=True, text=True)
        lines = run.stderr.strip().splitlines() or [f"it ended with {run.returncode}"]
        return "" if run.returncode == 0 else lines[-1].removeprefix("upconv: ")


def pictures(folder: Path, out: Path) -> Iterator[dict[str, str]]:
    """The pictures in a folder and those within, each with the file that is made of it."""
    for path in sorted(folder.rglob("*")):
        # What is made must not be made anew, should OUT lie within IN.
        if path.suffix.lower() in READ and not path.name.startswith(".") and path.is_file() and out not in path.parents:
            made = out / path.relative_to(folder)
            made = made if path.suffix.lower() in WRITTEN else made.with_name(made.name + ".png")
            yield {"picture": str(path), "out": str(made)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, metavar="IN")
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--scale", default="2", help="the factor (2)")
    parser.add_argument("--model", help="a trained network, such as waifu2x-photo; without one, bicubic")
    parser.add_argument("--workers", type=int, help="how many pictures are computed at a time")
    parser.add_argument("--cpus", type=int, default=2, help="the cores of a worker where there are no GPUs (2)")
    args = parser.parse_args()

    options = ["--scale", args.scale, *(["--model", args.model] if args.model else [])]
    folder, out = args.input.resolve(), args.output.resolve()
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    every = list(pictures(folder, out))
    left = [item for item in every if not Path(item["out"]).exists()]
    print(f"{len(every)} pictures, {len(every) - len(left)} of them made before", flush=True)
    if not left:
        return 0

    ray.init(ignore_reinit_error=True, log_to_driver=False)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    each = {"num_gpus": 1} if gpus else {"num_cpus": args.cpus}
    workers = args.workers or gpus or max(1, int(resources["CPU"]) // args.cpus)
    made = ray.data.from_items(left, override_num_blocks=len(left)).map_batches(
        Upscaler,
        batch_size=1,
        fn_constructor_args=(options, args.cpus),
        compute=ActorPoolStrategy(size=min(workers, len(left))),
        **each,
    )
    failed = []
    for number, row in enumerate(made.iter_rows(), 1):
        print(f"{number}/{len(left)} {row['picture']}{': ' + row['problem'] if row['problem'] else ''}", flush=True)
        if row["problem"]:
            failed.append(row)
    print(f"{len(left) - len(failed)} made, {len(failed)} failed")
    for row in failed:
        print(f"failed: {row['picture']}: {row['problem']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
