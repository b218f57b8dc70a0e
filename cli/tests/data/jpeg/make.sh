#!/usr/bin/env bash
# Makes the JPEG files here from a crop of the photograph in assets/, and beside each, as PNG, what libjpeg-turbo's djpeg
# decodes it to (CMYK, which djpeg leaves to others: Pillow). Needs python3 with Pillow, cjpeg and djpeg.
# Made with libjpeg-turbo 2.1.5 and Pillow 13.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
python3 - "$scratch" <<'PYTHON'
import sys
from PIL import Image
crop = Image.open("../../../../assets/astronaut.png").convert("RGB").crop((200, 80, 241, 107))
crop.save(sys.argv[1] + "/in.ppm")
crop.convert("L").save(sys.argv[1] + "/grey.pgm")
crop.convert("CMYK").save("cmyk.jpg", quality=80)
data = bytearray(open("cmyk.jpg", "rb").read())
data[data.index(b"Adobe") + 11] = 2  # the same samples, now taken for YCCK
open("ycck.jpg", "wb").write(data)
for name in ("cmyk", "ycck"):
    Image.open(name + ".jpg").convert("RGB").save(name + ".png")
PYTHON
printf '0;\n1;\n2;\n' >"$scratch/scans"

make() { # NAME OPTIONS…
    local name=$1
    shift
    cjpeg -quality 80 "$@" >"$name.jpg"
    djpeg -pnm "$name.jpg" | python3 -c "import sys; from PIL import Image; Image.open(sys.stdin.buffer).save('$name.png')"
}
in=$scratch/in.ppm
make 444 -sample 1x1 "$in"
make 422 -sample 2x1 "$in"
make 420 -sample 2x2 "$in"
make 440 -sample 1x2 "$in"
make 411 -sample 4x1 "$in"
make luma-lower -sample 1x1,2x2 "$in"
make scans -sample 2x2 -scans "$scratch/scans" "$in"
make scans-restarts -sample 2x2 -scans "$scratch/scans" -restart 2B "$in"
make restarts -sample 2x2 -restart 1 "$in"
make progressive -sample 2x2 -progressive "$in"
make rgb -rgb "$in"
make grey -grayscale "$scratch/grey.pgm"
cjpeg -arithmetic "$in" >arithmetic.jpg
