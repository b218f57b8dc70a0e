"""The program that comes along, by `python -m upconv` and as a command, and the checks of the devices."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import DATA, integers, scattered

PHOTO = DATA / "network" / "chelsea_67x45.png"
PROGRAM = [sys.executable, "-m", "upconv"]


def run(*arguments: Any, **keywords: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, timeout=300, **keywords)


def test_it_upscales(tmp_path: Path) -> None:
    done = run("upscale", PHOTO, tmp_path / "out.png", "--scale", 2, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    # The size is in the header: 67x45, doubled.
    header = (tmp_path / "out.png").read_bytes()[16:24]
    assert [int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")] == [134, 90]


def test_it_applies_what_the_functions_do(tmp_path: Path, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 2, 5)), integers(rng, (2, 3, 3))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", w)
    (tmp_path / "op.json").write_text('{"convention": "pytorch", "stride": 2}')
    files = ["--input", tmp_path / "x.npy", "--weight", tmp_path / "w.npy", "-o", tmp_path / "y.npy"]
    done = run("apply", tmp_path / "op.json", *files, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), scattered(x, w, stride=2))


@pytest.mark.parametrize(
    "arguments, status, stream, text",
    [
        (["--version"], 0, "stdout", b"upconv"),
        (["--help"], 0, "stdout", b"Usage: upconv <COMMAND>"),
        (["models"], 0, "stdout", b"waifu2x-photo"),
        (["upscale", "no-such.png", "out.png", "--scale", "2"], 1, "stderr", b"upconv: no-such.png"),
        (["upscale"], 2, "stderr", b"Usage: upconv upscale"),
        (["fly"], 2, "stderr", b"unrecognized subcommand"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_exit_statuses(arguments: list[str], status: int, stream: str, text: bytes, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == status, done
    assert text in getattr(done, stream), done


def test_a_closed_pipe_is_no_error_of_ours() -> None:
    with subprocess.Popen([*PROGRAM, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
@pytest.mark.parametrize("sent, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_a_trace(sent: signal.Signals, status: int, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(500):
        shutil.copy(PHOTO, folder / f"{number}.png")
    arguments = [*PROGRAM, "upscale", str(folder), str(tmp_path / "out"), "--model", "waifu2x-photo", "--device", "cpu"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not (tmp_path / "out").is_dir() or len(list((tmp_path / "out").glob("*.png"))) < 2:
            assert time.monotonic() < until and process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert b"Traceback" not in errors
    # Whole pictures, and nothing else.
    made = list((tmp_path / "out").iterdir())
    assert 2 <= len(made) < 500
    assert all(path.suffix == ".png" and path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in made)


def test_verify() -> None:
    found = upconv.verify("cpu")
    assert found.passed and len(found.checks) > 50, found
    assert {check.kernel for check in found.checks} == {"cpu", "dx", "dw", "db"}
    assert all(check.worst_share <= 1 and check.outputs > 0 for check in found.checks)
    with pytest.raises(upconv.DeviceError, match='no device has "no such" in its name'):
        upconv.verify("no such")
    wrong = upconv.Verification([*found.checks[:1], found.checks[0]._replace(passed=False)], [])
    assert not wrong.passed and not upconv.Verification([], ["a device"]).passed
