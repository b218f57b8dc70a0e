#!/usr/bin/env python3
"""Checks how the built `upconv` reads and writes pictures against Pillow and libjpeg-turbo.

It generates a few hundred small pictures (PNG of every colour type and depth, with and without interlacing, palettes,
transparent colours; JPEG of every sampling, coding and order of scans; WebP; TIFF of every depth, compression and order of
samples; BMP, GIF, QOI; those that have one in the eight orientations), lets `upconv upscale --scale 1` decode them, and
compares every sample:

- PNG with the samples that were put into it, 8-bit ones also with what Pillow reads: tolerance 0;
- JPEG with what djpeg decodes: 0. CMYK with what Pillow decodes and converts: 2, because that rounds twice;
- lossless WebP with the samples put into it: 0; lossy WebP with what Pillow reads: 2;
- TIFF, BMP, GIF and QOI with the samples put into it, or with what Pillow reads: 0;
- what upconv writes, as WebP, TIFF and PNG with a palette with tolerance 0 and as JPEG of quality 100 with 4, with what
  Pillow reads of it; and what Pillow reads of the EXIF and XMP that upconv keeps.

It also runs upconv on files that must be refused or must give a warning. It needs Python 3.9 with Pillow, and cjpeg and
djpeg of libjpeg-turbo on the path (Debian: python3-pil, libjpeg-turbo-progs). The exit status is 1 if something differs,
2 if something is missing here.

    python3 scripts/check-formats.py target/release/upconv [--keep FOLDER]
"""

import argparse
import io
import itertools
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    import PIL
    from PIL import Image
except ImportError:
    sys.exit(print("check-formats: Pillow is missing (Debian: python3-pil)", file=sys.stderr) or 2)

SIZES = [(37, 29), (16, 16), (1, 1), (3, 50), (65, 8)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's colour types
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


class Picture:
    """Samples as rows of pixels, each a tuple."""

    def __init__(self, rows, depth):
        self.rows, self.depth = rows, depth
        self.height, self.width, self.channels = len(rows), len(rows[0]), len(rows[0][0])

    def oriented(self, orientation):
        """Upright, by the EXIF standard: what the stored picture's orientation undoes."""
        rows = self.rows
        if orientation in (5, 6, 7, 8):
            rows = [list(column) for column in zip(*rows)]  # 5 is the transposition
        flip_x, flip_y = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]
        rows = [row[::-1] for row in rows] if flip_x else rows
        return Picture(rows[::-1] if flip_y else rows, self.depth)

    def difference(self, other):
        """The largest difference of two samples, or why there is none."""
        shape = lambda p: (p.width, p.height, p.channels, p.depth)
        if shape(self) != shape(other):
            return f"{shape(self)} and {shape(other)} (width, height, channels, bits)"
        pairs = zip(itertools.chain.from_iterable(self.rows), itertools.chain.from_iterable(other.rows))
        return max(abs(a - b) for p, q in pairs for a, b in zip(p, q))


def of_pillow(image):
    """An image of 8 bits as Pillow holds it."""
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else
                              "RGB" if image.mode in ("P", "CMYK") else "L")
    channels = len(image.getbands())
    return of_bytes(image.tobytes(), image.width, image.height, channels)


def of_bytes(data, width, height, channels):
    pixels = [tuple(data[i:i + channels]) for i in range(0, len(data), channels)]
    return Picture([pixels[y * width:(y + 1) * width] for y in range(height)], 8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(row, depth):
    """The samples of a row as bytes."""
    values = [value for pixel in row for value in pixel]
    if depth == 16:
        return struct.pack(f">{len(values)}H", *values)
    bits = "".join(format(value, f"0{depth}b") for value in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def predicted(kind, line, above, left, i):
    a = line[i - left] if i >= left else 0
    b = above[i]
    c = above[i - left] if i >= left else 0
    return (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]


def filtered(rows, depth):
    """Rows with PNG's five filters in turn."""
    out, above = bytearray(), None
    for y, row in enumerate(rows):
        line, kind, left = pack(row, depth), y % 5, max(1, len(row[0]) * depth // 8)
        above = above or bytes(len(line))
        out.append(kind)
        out += bytes((line[i] - predicted(kind, line, above, left, i)) & 255 for i in range(len(line)))
        above = line
    return bytes(out)


def write_png(rows, colour, depth, interlaced=False, palette=None, trns=None, exif=None, chunks=()):
    width, height = len(rows[0]), len(rows)
    if interlaced:
        parts = ([row[x0::dx] for row in rows[y0::dy]] for x0, y0, dx, dy in PASSES)
        data = b"".join(filtered(part, depth) for part in parts if part and part[0])
    else:
        data = filtered(rows, depth)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    for kind, body in chunks:
        file += chunk(kind, body)
    for kind, body in ((b"PLTE", palette), (b"tRNS", trns), (b"eXIf", exif), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        file += chunk(kind, body) if body is not None else b""
    return file


def read_png(file):
    """A PNG file as upconv writes them: not interlaced. Palettes and less than 8 bits become 8 bits."""
    at, data, header, palette, alphas = 8, b"", None, b"", None
    while at < len(file):
        length, kind = struct.unpack(">I4s", file[at:at + 8])
        body = file[at + 8:at + 8 + length]
        header = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else header
        data += body if kind == b"IDAT" else b""
        palette = body if kind == b"PLTE" else palette
        alphas = body if kind == b"tRNS" else alphas
        at += length + 12
    width, height, depth, colour, _, _, interlaced = header
    assert not interlaced
    channels, raw = CHANNELS[colour], zlib.decompress(data)
    left, stride = max(1, channels * depth // 8), (width * channels * depth + 7) // 8
    above, rows = bytearray(stride), []
    if colour == 3:
        entries = [tuple(palette[i:i + 3]) for i in range(0, len(palette), 3)]
        if alphas is not None:
            entries = [entry + ((alphas[i] if i < len(alphas) else 255),) for i, entry in enumerate(entries)]
    else:
        entries = [(value * 255 // ((1 << depth) - 1),) for value in range(1 << depth)]
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        if kind:
            for i in range(stride):
                line[i] = (line[i] + predicted(kind, line, above, left, i)) & 255
        if colour == 3 or depth < 8:
            bits = "".join(format(byte, "08b") for byte in line)
            rows.append([entries[int(bits[x * depth:(x + 1) * depth], 2)] for x in range(width)])
        else:
            values = struct.unpack(f">{stride * 8 // depth}{'H' if depth == 16 else 'B'}", line)
            rows.append([tuple(values[i:i + channels]) for i in range(0, len(values), channels)])
        above = line
    return Picture(rows, max(depth, 8))


def exif_of(orientation):
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation, 0, 0, 0, 0, 0, 0])


def noise(rng, width, height, channels, most):
    return [[tuple(rng.randint(0, most) for _ in range(channels)) for _ in range(width)] for _ in range(height)]


def smooth(width, height, channels):
    """A picture that JPEG likes, with an edge in it; no two parts of it are alike."""
    value = lambda x, y, c: (x * (5 + 2 * c) + y * (3 + c) + (80 if x * 2 > y * 3 else 0) + 40 * c) % 511
    pixel = lambda x, y: tuple(abs(255 - value(x, y, c)) for c in range(channels))
    return [[pixel(x, y) for x in range(width)] for y in range(height)]


class Check:
    def __init__(self, upconv, folder):
        self.upconv, self.folder, self.failures, self.count = upconv, folder, [], 0
        self.expected = {}
        self.input = folder / "in"
        self.input.mkdir(parents=True)

    def add(self, name, file, picture, tolerance):
        """A picture to be read."""
        assert pathlib.Path(name).stem not in (pathlib.Path(other).stem for other in self.expected), name
        (self.input / name).write_bytes(file)
        self.expected[name] = (picture, tolerance)

    def run(self, *arguments):
        return subprocess.run([str(self.upconv), "upscale", *map(str, arguments), "--scale", "1", "--method", "nearest",
                               "--device", "cpu"], capture_output=True, text=True)

    def judge(self, name, difference, tolerance):
        self.count += 1
        if isinstance(difference, str) or difference > tolerance:
            self.failures.append(f"{name}: differs by {difference}, allowed are {tolerance}")

    def read_all(self):
        """Decodes everything that was added, in one run."""
        out = self.folder / "out"
        run = self.run(self.input, out, "--format", "png")
        for name, (picture, tolerance) in self.expected.items():
            made = out / pathlib.Path(name).with_suffix(".png")
            if made.exists():
                self.judge(name, read_png(made.read_bytes()).difference(picture), tolerance)
            else:
                lines = [line for line in run.stderr.splitlines() if line.startswith("failed: ") and name in line]
                self.judge(name, lines[0] if lines else f"nothing was made: {run.stderr[-300:]}", tolerance)

    def expect(self, name, file, status, words):
        """A run that must end so, and say these words in one line."""
        path = self.folder / name
        path.write_bytes(file)
        run = self.run(path, self.folder / "single.png")
        lines = [line for line in run.stderr.splitlines() if all(word in line for word in words)]
        self.count += 1
        if run.returncode != status or len(lines) != (1 if words else 0) and words:
            self.failures.append(f"{name}: status {run.returncode} for {status}, {words} wanted in: {run.stderr.strip()}")


def add_png(check, rng):
    for colour, depths in DEPTHS.items():
        for depth, interlaced, keyed, size in itertools.product(depths, (False, True), (False, True), SIZES):
            if keyed and colour in (4, 6):
                continue
            (width, height), most = size, (1 << depth) - 1
            rows, palette, trns = noise(rng, width, height, CHANNELS[colour], most), None, None
            scale = 255 // most if depth < 8 else 1
            if colour == 3:
                entries = noise(rng, most + 1, 1, 4, 255)[0]
                palette = b"".join(bytes(entry[:3]) for entry in entries)
                shown = entries[:len(entries) // 2 + 1]
                alpha = lambda index: entries[index][3] if index < len(shown) else 255
                trns = bytes(entry[3] for entry in shown) if keyed else None
                wanted = [[entries[i][:3] + ((alpha(i),) if keyed else ()) for (i,) in row] for row in rows]
            elif keyed:
                key = rows[0][0]
                trns = struct.pack(f">{len(key)}H", *key)
                full = 65535 if depth == 16 else 255
                wanted = [[tuple(v * scale for v in p) + (0 if p == key else full,) for p in row] for row in rows]
            else:
                wanted = [[tuple(v * scale for v in p) for p in row] for row in rows]
            picture = Picture(wanted, max(depth, 8))
            file = write_png(rows, colour, depth, interlaced, palette, trns)
            name = f"png-{colour}-{depth}{'-interlaced' * interlaced}{'-keyed' * keyed}-{width}x{height}.png"
            check.add(name, file, picture, 0)
            if depth <= 8:
                # That the expectation is right, by a decoder that is not ours.
                seen = of_pillow(Image.open(io.BytesIO(file)))
                if seen.channels == picture.channels:
                    check.judge(f"{name} in Pillow", seen.difference(picture), 0)
    for orientation, colour, depth in itertools.product(range(1, 9), (0, 2, 4, 6), (8, 16)):
        rows = noise(rng, 7, 5, CHANNELS[colour], (1 << depth) - 1)
        file = write_png(rows, colour, depth, exif=exif_of(orientation))
        check.add(f"png-turned-{orientation}-{colour}-{depth}.png", file, Picture(rows, depth).oriented(orientation), 0)


def djpeg(file):
    """What libjpeg-turbo decodes, as a picture."""
    made = subprocess.run(["djpeg", "-pnm"], input=file, capture_output=True, check=True).stdout
    kind, size, _, data = made.split(b"\n", 3)
    width, height = map(int, size.split())
    return of_bytes(data, width, height, {b"P5": 1, b"P6": 3}[kind])


def cjpeg(rows, *arguments):
    channels = len(rows[0][0])
    header = b"P%d\n%d %d\n255\n" % (5 if channels == 1 else 6, len(rows[0]), len(rows))
    data = b"".join(bytes(pixel) for row in rows for pixel in row)
    return subprocess.run(["cjpeg", *map(str, arguments)], input=header + data, capture_output=True, check=True).stdout


def with_exif(jpeg, orientation):
    body = b"Exif\0\0" + exif_of(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def add_jpeg(check):
    scans = check.folder / "scans"
    scans.write_text("0;\n1;\n2;\n")
    mixed = check.folder / "mixed-scans"
    mixed.write_text("0;\n1 2;\n")
    spectral = check.folder / "spectral-scans"
    spectral.write_text("0 1 2: 0-0, 0, 0;\n0: 1-9, 0, 2;\n2: 1-63, 0, 1;\n1: 1-63, 0, 1;\n0: 10-63, 0, 2;\n"
                        "0: 1-63, 2, 1;\n0: 1-63, 1, 0;\n1: 1-63, 1, 0;\n2: 1-63, 1, 0;\n")
    samplings = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "1x1,2x2", "1x1,2x1", "1x1,1x2", "2x1,1x2,1x1",
                 "2x2,2x1,1x2", "1x2,1x1,1x2"]
    codings = {
        "baseline": [], "optimised": ["-optimize"], "progressive": ["-progressive"], "scans": ["-scans", scans],
        "mixed": ["-scans", mixed], "spectral": ["-scans", spectral], "restarts": ["-restart", "1"],
        "restart-blocks": ["-restart", "3B"], "scans-restarts": ["-scans", scans, "-restart", "2B"],
        "progressive-restarts": ["-progressive", "-restart", "1"], "poor": ["-quality", "15"],
    }
    for (coding, options), sampling, (width, height) in itertools.product(codings.items(), samplings, SIZES + [(130, 70)]):
        try:
            file = cjpeg(smooth(width, height, 3), "-sample", sampling, *options)
        except subprocess.CalledProcessError:
            continue  # more blocks together than the standard allows
        name = f"jpeg-{coding}-{sampling.replace(',', '_')}-{width}x{height}.jpg"
        check.add(name, file, djpeg(file), 0)
    for (coding, options), (width, height) in itertools.product(codings.items(), SIZES):
        if "-scans" not in options:
            file = cjpeg(smooth(width, height, 1), "-grayscale", *options)
            check.add(f"jpeg-grey-{coding}-{width}x{height}.jpg", file, djpeg(file), 0)
    for coding in ("baseline", "progressive", "scans"):
        file = cjpeg(smooth(45, 33, 3), "-rgb", *codings[coding])
        check.add(f"jpeg-rgb-{coding}.jpg", file, djpeg(file), 0)
    for orientation, channels in itertools.product(range(1, 9), (1, 3)):
        file = with_exif(cjpeg(smooth(30, 21, channels), "-sample", "2x2"), orientation)
        check.add(f"jpeg-turned-{orientation}-{channels}.jpg", file, djpeg(file).oriented(orientation), 0)
    for quality, progressive, width in itertools.product((30, 95), (False, True), (40, 41)):
        flat = bytes(value for row in smooth(width, 25, 4) for pixel in row for value in pixel)
        made = io.BytesIO()
        Image.frombytes("CMYK", (width, 25), flat).save(made, "JPEG", quality=quality, progressive=progressive)
        for kind, transform in (("cmyk", 0), ("ycck", 2)):
            at = made.getvalue().index(b"Adobe") + 11
            file = made.getvalue()[:at] + bytes([transform]) + made.getvalue()[at + 1:]
            name = f"jpeg-{kind}-{quality}-{progressive}-{width}.jpg"
            check.add(name, file, of_pillow(Image.open(io.BytesIO(file)).convert("RGB")), 2)


def add_webp(check, rng):
    for mode, size, lossless in itertools.product(("RGB", "RGBA"), SIZES, (True, False)):
        channels = len(mode)
        rows = noise(rng, *size, channels, 255) if lossless else smooth(*size, channels)
        image = Image.frombytes(mode, size, bytes(value for row in rows for pixel in row for value in pixel))
        made = io.BytesIO()
        image.save(made, "WEBP", lossless=lossless, exact=True, quality=90)
        seen = Image.open(io.BytesIO(made.getvalue()))
        seen = seen.convert(mode) if seen.mode == "RGBX" else seen
        picture = Picture(rows, 8) if lossless and seen.mode == mode else of_pillow(seen)
        name = f"webp-{mode}-{'lossless' if lossless else 'lossy'}-{size[0]}x{size[1]}.webp"
        check.add(name, made.getvalue(), picture, 0 if lossless else 2)
    for orientation in range(1, 9):
        rows = noise(rng, 9, 4, 3, 255)
        image = Image.frombytes("RGB", (9, 4), bytes(value for row in rows for pixel in row for value in pixel))
        made = io.BytesIO()
        image.save(made, "WEBP", lossless=True, exif=b"Exif\0\0" + exif_of(orientation))
        check.add(f"webp-turned-{orientation}.webp", made.getvalue(), Picture(rows, 8).oriented(orientation), 0)


def strip_data(rows, depth, compression, predictor, order):
    """The data of a strip or tile, as they are or deflated. Those by LZW and PackBits are Pillow's."""
    values = [[value for pixel in row for value in pixel] for row in rows]
    if predictor:
        channels = len(rows[0][0])
        mask = (1 << depth) - 1
        values = [[(v - row[i - channels] if i >= channels else v) & mask for i, v in enumerate(row)] for row in values]
    kind = "H" if depth == 16 else "B"
    if depth >= 8:
        data = b"".join(struct.pack(f"{order}{len(row)}{kind}", *row) for row in values)
    else:
        data = b"".join(pack([(v,) for v in row], depth) for row in values)
    return zlib.compress(data) if compression == 8 else data


def write_tiff(rows, depth, photometric, order="<", compression=1, predictor=False, planar=False, rows_per_strip=None,
               tile=None, big=False, fields=()):
    """A TIFF or BigTIFF file in strips or tiles."""
    width, height, channels = len(rows[0]), len(rows), len(rows[0][0])
    planes = [[[(pixel[c],) for pixel in row] for row in rows] for c in range(channels)] if planar else [rows]
    pieces = []
    for plane in planes:
        if tile:
            tw, th = tile
            zero = (0,) * len(plane[0][0])
            for y, x in itertools.product(range(0, height, th), range(0, width, tw)):
                part = [row[x:x + tw] for row in plane[y:y + th]]
                part = [row + [zero] * (tw - len(row)) for row in part] + [[zero] * tw] * (th - len(part))
                pieces.append(strip_data(part, depth, compression, predictor, order))
        else:
            step = rows_per_strip or height
            pieces += [strip_data(plane[y:y + step], depth, compression, predictor, order)
                       for y in range(0, height, step)]
    word, letter = (8, "Q") if big else (4, "I")
    file = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    file += struct.pack(order + "HH", 8, 0) if big else b""
    link, places = len(file), []
    file += bytes(word)
    for piece in pieces:
        places.append(len(file))
        file += piece
    entries = {256: (4, [width]), 257: (4, [height]), 258: (3, [depth] * channels), 259: (3, [compression]),
               262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if planar else 1]),
               317: (3, [2 if predictor else 1])}
    if tile:
        entries |= {322: (4, [tile[0]]), 323: (4, [tile[1]]), 324: (4, places), 325: (4, [len(p) for p in pieces])}
    else:
        entries |= {273: (4, places), 278: (4, [rows_per_strip or height]), 279: (4, [len(p) for p in pieces])}
    entries |= dict(fields)
    directory = b""
    for tag, (kind, values) in sorted(entries.items()):
        body = struct.pack(f"{order}{len(values)}{'BHI'[(1, 3, 4).index(kind)]}", *values)
        if len(body) > word:
            at, file = len(file), file + body
            body = struct.pack(order + letter, at)
        directory += struct.pack(f"{order}HH{letter}", tag, kind, len(values)) + body.ljust(word, b"\0")
    at = len(file)
    file += struct.pack(order + ("Q" if big else "H"), len(entries)) + directory + bytes(word)
    return file[:link] + struct.pack(order + letter, at) + file[link + word:]


def unmultiplied(pixel, most):
    *colour, alpha = pixel
    return tuple(min(most, (value * most + alpha // 2) // alpha) if alpha else 0 for value in colour) + (alpha,)


def add_tiff(check, rng):
    number = itertools.count()

    def add(kind, file, picture, seen_by_pillow=True):
        name = f"tiff-{next(number)}-{kind}.tif"
        check.add(name, file, picture, 0)
        if seen_by_pillow and picture.depth == 8:
            seen = of_pillow(Image.open(io.BytesIO(file)))
            if seen.channels == picture.channels:
                check.judge(f"{name} in Pillow", seen.difference(picture), 0)

    orders, layouts = ("<", ">"), ({}, {"rows_per_strip": 7}, {"tile": (16, 32)}, {"tile": (64, 16)})
    for depth, order, layout, compression, size in itertools.product((1, 2, 4, 8, 16), orders, layouts, (1, 8), SIZES):
        most = (1 << depth) - 1
        scale = 255 // most if depth < 8 else 1
        for photometric in (0, 1):
            rows = noise(rng, *size, 1, most)
            file = write_tiff(rows, depth, photometric, order, compression, **layout)
            shown = [[((most - v if photometric == 0 else v) * scale,) for (v,) in row] for row in rows]
            # Pillow does not know inverted grey of 2 and 4 bits in this byte order, nor some tiles of few bits.
            add(f"grey-{depth}-{photometric}", file, Picture(shown, max(8, depth)), depth == 8 and "tile" not in layout)
    for depth, channels, order, planar, predictor, layout in itertools.product(
            (8, 16), (1, 2, 3, 4), orders, (False, True), (False, True), layouts):
        rows = noise(rng, 37, 29, channels, (1 << depth) - 1)
        alpha = {338: (3, [2])} if channels in (2, 4) else {}
        file = write_tiff(rows, depth, 1 if channels < 3 else 2, order, 8, predictor, planar, fields=alpha, **layout)
        add(f"colour-{channels}-{depth}", file, Picture(rows, depth), False)
    for depth, channels in itertools.product((8, 16), (2, 4)):
        most = (1 << depth) - 1
        rows = [[tuple(rng.randint(0, p) for _ in range(channels - 1)) + (p,)
                 for p in (rng.randint(0, most) for _ in range(20))] for _ in range(11)]
        file = write_tiff(rows, depth, 1 if channels < 3 else 2, fields={338: (3, [1])})
        add(f"premultiplied-{depth}", file, Picture([[unmultiplied(p, most) for p in row] for row in rows], depth), False)
    for depth, order in itertools.product((1, 2, 4, 8), orders):
        entries = [[rng.randint(0, 255) for _ in range(1 << depth)] for _ in range(3)]
        rows = noise(rng, 37, 29, 1, (1 << depth) - 1)
        for factor in (256, 257):
            flat = [value * factor for channel in entries for value in channel]
            file = write_tiff(rows, depth, 3, order, 8, fields={320: (3, flat)})
            shown = Picture([[tuple(channel[i] for channel in entries) for (i,) in row] for row in rows], 8)
            add(f"palette-{depth}", file, shown, depth == 8)
    for orientation, big in itertools.product(range(1, 9), (False, True)):
        rows = noise(rng, 9, 4, 3, 255)
        file = write_tiff(rows, 8, 2, big=big, fields={274: (3, [orientation])})
        add(f"turned-{orientation}", file, Picture(rows, 8).oriented(orientation), False)
    for mode, compression, size in itertools.product(
            ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"),
            (None, "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"), SIZES):
        channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1)
        rows = noise(rng, *size, channels, 65535 if mode == "I;16" else 255)
        if mode == "I;16":
            flat = b"".join(struct.pack("<H", value) for row in rows for (value,) in row)
            image = Image.frombytes(mode, size, flat)
            picture = Picture(rows, 16)
        else:
            flat = bytes(value for row in rows for pixel in row for value in pixel)
            image = Image.frombytes("L" if mode in ("1", "P") else mode, size, flat)
            image = image.quantize(100) if mode == "P" else image.convert(mode)
            picture = of_pillow(image.convert("RGB") if mode == "P" else image.convert("L") if mode == "1" else image)
        made = io.BytesIO()
        image.save(made, "TIFF", compression=compression)
        add(f"pillow-{mode.replace(';', '')}-{compression}", made.getvalue(), picture, False)
    for predictor, size in itertools.product((1, 2), SIZES):
        image = Image.frombytes("RGB", size, bytes(v for row in smooth(*size, 3) for pixel in row for v in pixel))
        made = io.BytesIO()
        image.save(made, "TIFF", compression="tiff_lzw", tiffinfo={317: predictor})
        add(f"pillow-lzw-{predictor}", made.getvalue(), of_pillow(image), False)


def plain_qoi(image):
    """A QOI file in which each pixel stands by itself."""
    channels = len(image.getbands())
    header = b"qoif" + struct.pack(">IIBB", *image.size, channels, 0)
    tag = b"\xfe" if channels == 3 else b"\xff"
    return header + b"".join(tag + bytes(pixel) for pixel in image.getdata()) + bytes(7) + b"\x01"


def add_others(check, rng):
    Image.init()
    for mode, size in itertools.product(("1", "L", "P", "RGB", "RGBA"), SIZES):
        channels = {"RGB": 3, "RGBA": 4}.get(mode, 1)
        flat = bytes(value for row in noise(rng, *size, channels, 255) for pixel in row for value in pixel)
        image = Image.frombytes("L" if mode in ("1", "P") else mode, size, flat)
        image = image.quantize(50) if mode == "P" else image.convert(mode)
        colours = of_pillow(image.convert("RGBA" if mode == "RGBA" else "RGB"))
        kinds = [("BMP", "bmp")] + [("GIF", "gif")] * (mode in ("L", "P")) + [("QOI", "qoi")] * (mode[:3] == "RGB")
        for kind, extension in kinds:
            made = io.BytesIO()
            if kind == "QOI" and "QOI" not in Image.SAVE:
                made.write(plain_qoi(image))  # Pillow before 11.3 only reads it
            else:
                image.save(made, kind)
            if kind == "BMP" and mode == "RGBA":
                # Pillow writes four channels without saying that one is alpha, which readers leave out.
                picture = of_pillow(image.convert("RGB"))
            else:
                picture = colours
            check.add(f"{extension}-{mode}-{size[0]}x{size[1]}.{extension}", made.getvalue(), picture, 0)
    for size, interlace in itertools.product(SIZES, (0, 1)):
        flat = bytes(value for row in noise(rng, *size, 1, 30) for (value,) in row)
        image = Image.frombytes("P", size, flat)
        image.putpalette([(i * 7) % 256 for i in range(3 * 31)])
        made = io.BytesIO()
        image.save(made, "GIF", transparency=5, interlace=interlace, optimize=False)
        seen = of_pillow(Image.open(io.BytesIO(made.getvalue())).convert("RGBA"))
        # What is transparent has no colour here.
        rows = [[pixel if pixel[3] else (0, 0, 0, 0) for pixel in row] for row in seen.rows]
        check.add(f"gif-transparent-{interlace}-{size[0]}x{size[1]}.gif", made.getvalue(), Picture(rows, 8), 0)


XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')


def check_metadata(check, rng):
    """EXIF and XMP of Pillow's files, kept by upconv and read by Pillow again."""
    exif = Image.Exif()
    exif[0x010f], exif[0x0112], exif[0x0100] = "maker", 6, 20
    exif.get_ifd(0x8769).update({0x9003: "2026:11:28 12:00:00", 0xa002: 20, 0xa003: 10})
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    image = Image.frombytes("RGB", (20, 10), bytes(value for row in noise(rng, 20, 10, 3, 255) for p in row for value in p))
    for kind, made in itertools.product(("png", "jpg", "webp"), ("png", "jpg", "webp", "tif")):
        source = check.folder / f"metadata.{kind}"
        more = {}
        if kind == "png":
            from PIL.PngImagePlugin import PngInfo
            more["pnginfo"] = PngInfo()
            more["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
        else:
            more["xmp"] = XMP
        image.save(source, exif=exif.tobytes(), **more)
        out = check.folder / f"metadata-of-{kind}.{made}"
        run = check.run(source, out, "--keep-metadata")
        name = f"metadata from {kind} to {made}"
        if run.returncode != 0:
            check.judge(name, run.stderr[-300:], 0)
            continue
        seen = Image.open(out)
        kept = seen.getexif()
        xmp = seen.info.get("xmp") or seen.info.get("XML:com.adobe.xmp") or b""
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        found = {"size": seen.size, "xmp": xmp}
        wanted = {"size": (10, 20), "xmp": XMP.replace(b'"6"', b'"1"')}
        if made != "tif":
            inner, gps = kept.get_ifd(0x8769), kept.get_ifd(0x8825)
            found |= {"main": (kept.get(0x010f), kept.get(0x0112), kept.get(0x0100)), "gps": tuple(gps.get(2, ())),
                      "inner": (inner.get(0x9003), inner.get(0xa002), inner.get(0xa003))}
            wanted |= {"main": ("maker", 1, 10), "gps": (1.0, 2.0, 3.0), "inner": ("2026:11:28 12:00:00", 10, 20)}
        elif "EXIF is not written into TIFF" not in run.stderr:
            found["said"] = run.stderr
        check.judge(name, 0 if found == wanted else f"{found}, wanted {wanted}", 0)


def check_palettes(check, rng):
    """PNG files of few colours: what upconv writes is read by Pillow, and takes few bits."""
    for mode, count in itertools.product(("RGB", "RGBA", "L"), (1, 2, 3, 4, 5, 16, 17, 255, 256)):
        channels = len(mode)
        colours = noise(rng, count, 1, channels, 255)[0] if channels > 1 else [(255 * i // max(1, count - 1),) for i in range(count)]
        rows = [[colours[rng.randrange(count)] for _ in range(37)] for _ in range(29)]
        source, out = check.folder / "few.png", check.folder / f"few-{mode}-{count}.png"
        source.write_bytes(write_png(rows, {1: 0, 3: 2, 4: 6}[channels], 8))
        run = check.run(source, out)
        name = f"{count} colours of {mode}"
        if run.returncode != 0:
            check.judge(name, run.stderr[-300:], 0)
            continue
        image = Image.open(out)
        check.judge(name, of_pillow(image.convert(mode)).difference(Picture(rows, 8)), 0)
        check.judge(f"{name}, in few bits", 0 if image.mode == "P" or mode == "L" else image.mode, 0)


def check_written(check, rng):
    """What upconv writes as WebP, TIFF and JPEG, read by Pillow."""
    source = check.folder / "written"
    source.mkdir()
    pictures = {}
    # JPEG halves the columns of the chroma: a ramp survives that.
    ramp = lambda width, height, channels: [
        [tuple((3 * x + 2 * y + 40 * c) // 2 for c in range(channels)) for x in range(width)] for y in range(height)
    ]
    for colour, (width, height) in itertools.product((0, 2, 4, 6), SIZES):
        rows = ramp(width, height, CHANNELS[colour])
        pictures[f"{colour}-{width}x{height}"] = (colour, rows)
        (source / f"{colour}-{width}x{height}.png").write_bytes(write_png(rows, colour, 8))
    run = check.run(source, check.folder / "as-webp", "--format", "webp")
    for name, (colour, rows) in pictures.items():
        image = Image.open(check.folder / "as-webp" / f"{name}.webp") if run.returncode == 0 else None
        spread = {0: lambda p: p * 3, 2: lambda p: p, 4: lambda p: (p[0],) * 3 + p[1:], 6: lambda p: p}[colour]
        wanted = Picture([[spread(pixel) for pixel in row] for row in rows], 8)
        seen = image and of_pillow(image.convert("RGBA" if colour in (4, 6) else "RGB"))
        check.judge(f"{name} as WebP", seen.difference(wanted) if seen else run.stderr[-300:], 0)
    run = check.run(source, check.folder / "as-tiff", "--format", "tif")
    for name, (colour, rows) in pictures.items():
        seen = of_pillow(Image.open(check.folder / "as-tiff" / f"{name}.tif")) if run.returncode == 0 else None
        check.judge(f"{name} as TIFF", seen.difference(Picture(rows, 8)) if seen else run.stderr[-300:], 0)
    for name in [name for name, (colour, _) in pictures.items() if colour in (4, 6)]:
        (source / f"{name}.png").unlink()
        del pictures[name]
    run = check.run(source, check.folder / "as-jpeg", "--format", "jpg", "--quality", "100")
    for name, (colour, rows) in pictures.items():
        seen = of_pillow(Image.open(check.folder / "as-jpeg" / f"{name}.jpg")) if run.returncode == 0 else None
        check.judge(f"{name} as JPEG", seen.difference(Picture(rows, 8)) if seen else run.stderr[-300:], 4)


def check_single(check):
    """Files that must be refused, or opened with a warning."""
    rows = smooth(160, 120, 3)
    whole = cjpeg(rows, "-sample", "2x2")
    end = b"\xff\xd9"
    check.expect("no-end.jpg", whole[:-2], 0, ["warning", "no-end.jpg", "no end marker"])
    check.expect("half.jpg", whole[:len(whole) // 2], 1, ["half.jpg", "largely missing"])
    check.expect("half-end.jpg", whole[:len(whole) // 2] + end, 1, ["half-end.jpg", "largely missing"])
    progressive = cjpeg(rows, "-progressive")
    for part in (3, 5, 8):
        cut = progressive[:len(progressive) * part // 10] + end
        check.expect(f"progressive-{part}.jpg", cut, 1, [f"progressive-{part}.jpg"])
    check.expect("arithmetic.jpg", cjpeg(rows, "-arithmetic"), 1, ["arithmetic"])
    frame = whole.index(b"\xff\xc0")
    check.expect("twelve.jpg", whole[:frame + 4] + b"\x0c" + whole[frame + 5:], 1, ["12 bits"])
    huge = whole[:frame + 5] + struct.pack(">HH", 20000, 20000) + whole[frame + 9:]
    check.expect("huge.jpg", huge, 1, ["20000x20000"])
    grey = [[(x,) for x in range(8)] for _ in range(8)]
    broken = write_png([[(1,)]], 3, 8, palette=bytes(7), trns=b"\x80\x80\x80")
    check.expect("palette.png", broken, 1, ["palette.png"])
    pages = io.BytesIO()
    still = Image.new("RGB", (4, 4))
    still.save(pages, "TIFF", save_all=True, append_images=[still, still])
    check.expect("pages.tif", pages.getvalue(), 1, ["pages.tif", "has 3 pages"])
    moving = io.BytesIO()
    still.save(moving, "GIF", save_all=True, append_images=[Image.new("RGB", (4, 4), (9, 9, 9))])
    check.expect("moving.gif", moving.getvalue(), 1, ["moving.gif", "GIF of 2 frames"])
    for mode, words in (("F", "floating-point"), ("CMYK", "CMYK"), ("I", "samples"), ("YCbCr", "YCbCr")):
        made = io.BytesIO()
        Image.new(mode, (4, 4)).save(made, "TIFF")
        check.expect(f"kind-{mode}.tif", made.getvalue(), 1, [f"kind-{mode}.tif", words, "not supported"])
    for compression, words in (("jpeg", "JPEG"), ("group4", "fax")):
        made = io.BytesIO()
        Image.new("1" if compression == "group4" else "RGB", (16, 16)).save(made, "TIFF", compression=compression)
        check.expect(f"by-{compression}.tif", made.getvalue(), 1, [f"by-{compression}.tif", words, "not supported"])
    check.expect("gamma.png", write_png(grey, 0, 8, chunks=[(b"gAMA", struct.pack(">I", 100000))]), 0, [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upconv", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--keep", type=pathlib.Path, help="leave the pictures in this folder, which must not exist")
    arguments = parser.parse_args()
    for tool in ("cjpeg", "djpeg"):
        if not shutil.which(tool):
            print(f"check-formats: {tool} is missing (Debian: libjpeg-turbo-progs)", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory() as scratch:
        check = Check(arguments.upconv, arguments.keep or pathlib.Path(scratch) / "formats")
        rng = random.Random(13)
        add_png(check, rng)
        add_jpeg(check)
        add_webp(check, rng)
        add_tiff(check, rng)
        add_others(check, rng)
        check.read_all()
        check_written(check, rng)
        if int(PIL.__version__.split(".")[0]) >= 11:
            check_metadata(check, rng)
        else:
            print(f"left out: metadata (older Pillow writes no XMP and no nested EXIF: needs 11, this is {PIL.__version__})")
        check_palettes(check, rng)
        check_single(check)
    for failure in check.failures:
        print(failure)
    print(f"{check.count} comparisons of {len(check.expected)} pictures, {len(check.failures)} failures")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
