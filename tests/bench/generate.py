"""Write a generated checkpoint into a folder, a piece at a time: python -m tests.bench.generate SHAPE FOLDER"""

import sys
from pathlib import Path

from .content import WeightFile, files
from .shapes import SHAPES, Shape


def generate(shape: Shape, folder: Path) -> Path:
    """Write the checkpoint unless it is there; files appear whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files(shape).items():
        path = folder / name
        if path.exists() and path.stat().st_size == (content.size if isinstance(content, WeightFile) else len(content)):
            continue
        with open(folder / f".{name}", "wb") as file:
            for piece in content.pieces(0, content.size) if isinstance(content, WeightFile) else [content]:
                file.write(piece)
        (folder / f".{name}").rename(path)
    return folder


if __name__ == "__main__":
    generate(SHAPES[sys.argv[1]], Path(sys.argv[2]))
