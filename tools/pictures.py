"""Draw README's pictures of explorers anew: python tools/pictures.py, into docs/. Prints what each of them shows."""

import importlib
import io
import xml.etree.ElementTree as ET
from pathlib import Path

from PIL import Image

from posebook.explore._png import png

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = ("epochs", "limbs", "conformal", "marker")  # chapters 1, 3, 4, 5; of chapter 2 there is a screenshot
COLORS = 64


def picture(name: str) -> tuple[Image.Image, str]:
    """The panels of an explorer where it starts, and what it says there."""
    module = importlib.import_module(f"posebook.explore.{name}")
    view = module.view(module.compute(module.State()))
    whole = Image.open(io.BytesIO(png(view))).convert("RGB")
    tall = max(float(ET.fromstring(panel).get("height")) for panel in view.panels)
    return whole.crop((0, 0, whole.width, round(tall) + 4)).quantize(COLORS), view.sentence


if __name__ == "__main__":
    for each in NAMES:
        image, sentence = picture(each)
        image.save(DOCS / f"{each}.png", optimize=True)
        print(f"{each}.png: {sentence}")
