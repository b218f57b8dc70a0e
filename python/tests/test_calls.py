"""Calls as programs make them: many, from many threads, interrupted, in forked processes; and what a call costs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import upconv
from conftest import integers, interrupted, scattered


def test_eight_threads_at_once(device: str, rng: np.random.Generator) -> None:
    w, b = integers(rng, (3, 4, 3, 3)), integers(rng, 4)
    layer = upconv.ConvTranspose2d(w, b, 2, device=device)
    inputs = [integers(rng, (1 + number % 3, 3, 5 + number, 6)) for number in range(8)]
    expected = [scattered(x, w, b, stride=2) for x in inputs]
    wrong: list[Any] = []

    def work(number: int) -> None:
        x, want = inputs[number], expected[number]
        try:
            for turn in range(25):
                # The same weights are read by all, as an array and in the layer.
                y = layer(x) if turn % 2 else upconv.conv_transpose2d(x, w, b, 2, device=device)
                if not np.array_equal(y, want):
                    wrong.append((number, turn))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def long_work() -> tuple[Any, Any]:
    """What takes seconds on two cores: 20 to 40 billion multiply-adds in one item."""
    return np.ones((1, 64, 700, 700), "f4"), np.ones((64, 64, 4, 4), "f4")


def test_other_threads_run_meanwhile() -> None:
    x, w = np.ones((1, 32, 256, 256), "f4"), np.ones((32, 32, 4, 4), "f4")
    done = threading.Event()

    def work() -> None:
        for _ in range(3):
            upconv.conv_transpose2d(x, w, stride=2, device="cpu")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    turns = 0
    while not done.is_set():
        turns += 1
        time.sleep(0.001)
    thread.join()
    assert turns > 10


# A turn takes seconds.
SETUP = """
x, w = np.ones(({batch}, 64, 700, 700), "f4"), np.ones((64, 64, 4, 4), "f4")
dy = np.ones((1, 64, 703, 703), "f4")
layer = upconv.ConvTranspose2d(w, stride=2, device="{device}")
"""
WORK = {
    "function": 'upconv.conv_transpose2d(x, w, stride=2, device="{device}")',
    "layer": "layer(x)",
    "backward": 'upconv.conv_transpose2d_backward(dy, x, w, device="{device}")',
}
# All is well again.
AFTER = """
y = upconv.conv_transpose2d(np.ones((1, 64, 3, 3), "f4"), w, device="{device}")
assert y[0, 0, 3, 3] == 64 * 9 and y[0, 0, 0, 0] == 64, y[0, 0]
"""


@pytest.mark.parametrize(("work", "batch"), [("function", 1), ("function", 2), ("layer", 1), ("layer", 2), ("backward", 1)])
def test_an_interruption_stops_the_work(work: str, batch: int) -> None:
    setup = SETUP.format(device="cpu", batch=batch)
    interrupted(setup, WORK[work].format(device="cpu"), AFTER.format(device="cpu"))


# What was submitted cannot be taken back: it is left alone.
def test_an_interruption_stops_a_gpu(gpu: upconv.Device) -> None:
    setup = SETUP.format(device="gpu", batch=1)
    interrupted(setup, WORK["function"].format(device="gpu"), AFTER.format(device="gpu"))


def test_a_handler_that_raises_is_heard() -> None:
    class Alarm(Exception):
        pass

    def ring(*_: Any) -> None:
        raise Alarm

    if not hasattr(signal, "setitimer"):
        pytest.skip("there are no timers")
    x, w = long_work()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Alarm):
            while True:
                upconv.conv_transpose2d(x, w, stride=2, device="cpu")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def child(connection: Any) -> None:
    x, w = np.ones((1, 8, 40, 40), "f4"), np.ones((8, 8, 3, 3), "f4")
    connection.send(upconv.conv_transpose2d(x, w, device="cpu").sum())
    try:
        connection.send(upconv.conv_transpose2d(x, w, device="gpu").sum())
    except upconv.DeviceError as error:
        connection.send(str(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_computes_on_the_cpu() -> None:
    x, w = np.ones((1, 8, 40, 40), "f4"), np.ones((8, 8, 3, 3), "f4")
    # The threads are there before.
    expected = upconv.conv_transpose2d(x, w, device="cpu").sum()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs,), daemon=True)
    process.start()
    assert ours.poll(60), "the forked process hangs"
    assert ours.recv() == expected
    process.kill()
    process.join()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_gpu_does_not_survive_a_fork(gpu: upconv.Device) -> None:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            upconv.conv_transpose1d(np.ones((1, 1, 2), "f4"), np.ones((1, 1, 2), "f4"), device=gpu)
            answer = "it did"
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(process, 0)
    assert answer.startswith("DeviceError: the device ") and 'start processes by "spawn"' in answer


def resident() -> int:
    """The bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_ten_thousand_calls_leave_memory_flat(rng: np.random.Generator) -> None:
    x, w, b = integers(rng, (1, 4, 16, 16)), integers(rng, (4, 4, 3, 3)), integers(rng, 4)
    layer = upconv.ConvTranspose2d(w, b, device="cpu")

    def calls(number: int) -> None:
        for turn in range(number):
            upconv.conv_transpose2d(x, w, b, 2, device="cpu")
            layer(x)
            if turn % 10 == 0:
                upconv.conv_transpose2d_backward(layer(x), x, w, device="cpu")
                upconv.DeviceArray(x, "cpu").numpy()
                with pytest.raises(ValueError):
                    upconv.conv_transpose2d(x, w, b[:1], device="cpu")
                # Descriptions that are not seen again.
                upconv.conv_transpose2d(x, w, activation={"kind": "leaky_relu", "alpha": turn + 0.5}, device="cpu")

    calls(1000)
    gc.collect()
    before = resident()
    calls(10_000)
    gc.collect()
    assert resident() - before < 4 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_many_calls_on_a_gpu_leave_memory_flat(gpu: upconv.Device, rng: np.random.Generator) -> None:
    x, w = integers(rng, (1, 4, 64, 64)), integers(rng, (4, 4, 3, 3))
    layer = upconv.ConvTranspose2d(w, device=gpu)

    def calls(number: int) -> None:
        there = upconv.DeviceArray(x, gpu)
        for _ in range(number):
            upconv.conv_transpose2d(x, w, device=gpu)
            layer(there)
        there.numpy()

    calls(300)
    gc.collect()
    before = resident()
    calls(1000)
    gc.collect()
    # Without freeing it would be 1000 outputs of 70 kB twice.
    assert resident() - before < 16 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_large_input_is_not_copied() -> None:
    """The most that was ever in memory grows by the output and the working memory, and by no copy of the input."""
    script = """
import resource
import numpy as np, upconv
# 256 MiB of input, of which little is kept: padding crops the output.
x = np.ones((1, 1, 1 << 26), "f4")
w = np.ones((1, 1, 1), "f4")
upconv.conv_transpose1d(x[..., :1000], w, device="cpu")
out = np.empty((1, 1, 1 << 20), "f4")
out[:] = 0
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
upconv.conv_transpose1d(x, w, padding=((1 << 26) - (1 << 20)) // 2, out=out, device="cpu")
assert (out == 1).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 64 << 10, f"{run.stdout} KiB beside 256 MiB of input"


def test_what_a_call_costs_beyond_the_computation() -> None:
    """The least of many calls: of one that is refused at its end, and of one that computes a product."""
    x, w = np.ones((1, 1, 1, 1), "f4"), np.ones((1, 1, 1, 1), "f4")

    def least(call: Any) -> float:
        times = []
        for _ in range(2000):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        return min(times)

    assert least(lambda: upconv.conv_transpose2d(x, w, device="cpu")) < 50e-6
    layer = upconv.ConvTranspose2d(w, device="cpu")
    assert least(lambda: layer(x)) < 50e-6


def test_a_device_is_closed_behind_what_is_under_way(device: str) -> None:
    x, w = np.ones((1, 32, 120, 120), "f4"), np.ones((32, 32, 3, 3), "f4")
    expected = upconv.conv_transpose2d(x, w, stride=2, device="cpu")
    for turn in range(4):
        opened = upconv.Device(device)
        size = 120 if device != "reference" else 8
        layer = upconv.ConvTranspose2d(w, stride=2, device=opened)
        results: list[Any] = []

        def work(layer: Any = layer, results: list[Any] = results, size: int = size) -> None:
            try:
                while True:
                    results.append(layer(x[:, :, :size, :size]))
            except BaseException as error:
                results.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.01 * turn)
        opened.close()
        thread.join()
        # Whole results, and then one refusal.
        assert isinstance(results[-1], upconv.DeviceError) and "was closed" in str(results[-1]), results[-1]
        for result in results[:-1]:
            np.testing.assert_allclose(result[..., :16, :16], expected[..., :16, :16])
