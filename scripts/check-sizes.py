#!/usr/bin/env python3
"""Checks the sizes that the built `upconv upscale` makes against Pillow's `Image.resize`.

Every filter takes the photograph and generated pictures to sizes that are no whole factor, larger and smaller, and each
sample is compared: tolerance 1 of 255. Pillow rounds 8-bit samples between the two axes, which is why it is not 0.

- Grey and RGB of 8 bits: with Pillow's result, along w and then along h. (Pillow 13 begins with h where that is reduced
  much more than w, and holds another plane to the range of the samples.)
- With alpha and with 16 bits, which Pillow rounds or does not resize: with its results for planes of floats
  (premultiplied, held to the range of the samples between the axes), 16 bits with a tolerance of 1 of 65,535.
- Nearest: an output that lies on the border between two pixels takes the right one here. Pillow adds up positions, and
  takes what rounding makes of it; such outputs are left out of the comparison.

It prints the largest difference of each kind, and needs Python 3.9 with Pillow 9 or newer and NumPy (Debian: python3-pil,
python3-numpy). The exit status is 1 if something differs, 2 if something is missing here.

    python3 scripts/check-sizes.py target/release/upconv
    python3 scripts/check-sizes.py --store cli/tests/data/sizes     makes the pictures that the tests compare with
"""

import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    import numpy
    from PIL import Image
except ImportError:
    sys.exit(print("check-sizes: Pillow or NumPy is missing (Debian: python3-pil python3-numpy)", file=sys.stderr) or 2)

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos3": Image.LANCZOS}
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the number of channels
ROOT = pathlib.Path(__file__).resolve().parent.parent


def noise(width, height, channels, most, seed):
    """Noise with flat parts, hard edges, and transparent and opaque parts."""
    random = numpy.random.default_rng(seed)
    picture = random.integers(0, most + 1, (height, width, channels))
    picture[: height // 3, : width // 2] = most
    picture[height // 2 :, width // 3 : width // 2] = 0
    if channels in (2, 4):
        alpha = picture[:, :, -1]
        alpha[:, : width // 4] = 0
        alpha[: height // 4] = most
    return picture


def resize_floats(picture, size, method, most):
    """Pillow's result for each plane as floats, held to the range between the axes."""
    def resize(plane):
        image = Image.fromarray(plane.astype(numpy.float32))
        across = numpy.clip(numpy.asarray(image.resize((size[0], image.height), FILTERS[method])), 0, most)
        return numpy.asarray(Image.fromarray(across).resize(size, FILTERS[method])).astype(numpy.float64)

    planes = [picture[:, :, channel].astype(numpy.float64) for channel in range(picture.shape[2])]
    if len(planes) in (1, 3) or method == "nearest":
        return numpy.stack([numpy.clip(resize(plane), 0, most) for plane in planes], -1)
    alpha = planes[-1]
    made = [resize(plane * alpha / most) for plane in planes[:-1]]
    made_alpha = resize(alpha)
    is_seen = numpy.floor(numpy.clip(made_alpha, 0, most) + 0.5) > 0
    divisor = numpy.where(is_seen, made_alpha, 1)
    colours = [numpy.where(is_seen, numpy.clip(plane * most / divisor, 0, most), 0) for plane in made]
    return numpy.stack([*colours, numpy.clip(made_alpha, 0, most)], -1)


def expected(picture, size, method, most):
    channels = picture.shape[2]
    if most == 255 and channels in (1, 3):
        image = Image.fromarray((picture[:, :, 0] if channels == 1 else picture).astype(numpy.uint8))
        across = image.resize((size[0], image.height), FILTERS[method])
        return numpy.asarray(across.resize(size, FILTERS[method])).reshape(size[1], size[0], channels)
    return numpy.floor(resize_floats(picture, size, method, most) + 0.5)


def compared(picture, size, method):
    """The outputs that are compared, along y and along x."""
    def along(output, source):
        is_tie = lambda o: method == "nearest" and source != output and (2 * o + 1) * source % (2 * output) == 0
        return [o for o in range(output) if not is_tie(o)]

    return numpy.ix_(along(size[1], picture.shape[0]), along(size[0], picture.shape[1]))


def write_png(path, picture, most):
    height, width, channels = picture.shape
    rows = picture.astype(">u2" if most > 255 else "u1")
    raw = b"".join(b"\0" + rows[y].tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16 if most > 255 else 8, COLOUR_TYPES[channels], 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) +
                     chunk(b"IEND", b""))


def read_png(path, channels):
    """The samples of a PNG file of any depth, of so many channels."""
    data = path.read_bytes()
    place, found = 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            found += body
        place += length + 12
    if colour == 3 or bits < 8:
        # A palette, or few greys, as `nearest` may be written.
        samples = numpy.asarray(Image.open(path).convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]))
        return samples.reshape(height, width, channels).astype(numpy.int64)
    assert COLOUR_TYPES[channels] == colour, f"{path} has colour type {colour}, expected {channels} channels"
    pixel = channels * bits // 8
    raw, row = zlib.decompress(found), width * pixel + 1
    before, rows = bytearray(row - 1), []
    for y in range(height):
        kind, line = raw[y * row], bytearray(raw[y * row + 1 : (y + 1) * row])
        if kind == 2:
            line = bytearray((numpy.frombuffer(line, "u1") + numpy.frombuffer(before, "u1")).tobytes())
        elif kind:
            for i in range(len(line)):
                a, c = (line[i - pixel], before[i - pixel]) if i >= pixel else (0, 0)
                b = before[i]
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                paeth = a if pa <= pb and pa <= pc else b if pb <= pc else c
                line[i] = (line[i] + {1: a, 3: (a + b) // 2, 4: paeth}[kind]) & 255
        rows.append(bytes(line))
        before = line
    samples = numpy.frombuffer(b"".join(rows), ">u2" if bits == 16 else "u1")
    return samples.reshape(height, width, channels).astype(numpy.int64)


def channels_of(picture):
    return 1 if picture.ndim == 2 else picture.shape[2]


def check(upconv, folder):
    photograph = numpy.asarray(Image.open(ROOT / "assets/astronaut.png").convert("RGB"))
    small = [(1, 1), (2, 7), (41, 29), (56, 44), (55, 29), (100, 19), (333, 31), (23, 1), (36, 28)]
    cases = [("photograph, RGB, 8 bits", photograph, 255, [(768, 768), (1152, 1152), (700, 1300), (300, 200), (1, 1000)])]
    for most, bits in [(255, 8), (65535, 16)]:
        for channels, name in [(1, "grey"), (2, "grey+alpha"), (3, "RGB"), (4, "RGBA")]:
            cases.append((f"noise, {name}, {bits} bits", noise(37, 29, channels, most, channels), most, small))
    cases.append(("one pixel, RGB, 8 bits", noise(1, 1, 3, 255, 9), 255, [(3, 5), (1, 7), (50, 1)]))
    failed = False
    for name, picture, most, sizes in cases:
        write_png(folder / "in.png", picture, most)
        for method in FILTERS:
            worst = 0
            for size in sizes:
                line = f"upscale in.png out.png --size {size[0]}x{size[1]} --method {method} --device cpu"
                run = subprocess.run([upconv, *line.split()], cwd=folder, stderr=subprocess.PIPE, text=True)
                if run.returncode:
                    sys.exit(f"{line}: {run.stderr}")
                where = compared(picture, size, method)
                difference = numpy.abs(read_png(folder / "out.png", channels_of(picture))[where] - expected(picture, size, method, most)[where])
                worst = max(worst, difference.max(initial=0))
                if difference.max(initial=0) > 1:
                    failed = True
                    print(f"differs by {difference.max():.0f} in {(difference > 1).sum()} samples: {name}: {line}")
            print(f"{name}, {method}: at most {worst:.0f} of {most}")
    return failed


def store(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, channels, most in [("rgb", 3, 255), ("grey-alpha", 2, 255), ("grey-16", 1, 65535)]:
        picture = noise(23, 17, channels, most, 7)
        write_png(folder / f"{kind}.png", picture, most)
        for method in FILTERS:
            for size in [(35, 26), (52, 38), (31, 60), (40, 9), (9, 5), (1, 1)] if kind == "rgb" else [(35, 26), (9, 5)]:
                if compared(picture, size, method)[0].size * compared(picture, size, method)[1].size < size[0] * size[1]:
                    continue
                made = expected(picture, size, method, most)
                write_png(folder / f"{kind}-{method}-{size[0]}x{size[1]}.png", made, most)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("upconv", nargs="?", type=pathlib.Path, help="the built program")
    parser.add_argument("--store", type=pathlib.Path, metavar="FOLDER", help="make the pictures of the tests instead")
    arguments = parser.parse_args()
    if arguments.store:
        return store(arguments.store)
    if not arguments.upconv:
        parser.error("give the path of the program, or --store")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(check(arguments.upconv.resolve(), pathlib.Path(folder)))


main()
