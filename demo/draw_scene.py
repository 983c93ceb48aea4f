"""Write one scene to a file and print what is in it: `python -m demo.draw_scene SEED FILE`."""

import argparse
from pathlib import Path

from PIL import Image

from demo.expressions import make_expressions
from demo.scenes import make_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("file", type=Path)
    a = parser.parse_args()
    scene = make_scene(a.seed)
    Image.fromarray(scene.image).save(a.file)
    print(", ".join(f"{thing.colour or ''} {thing.noun}".strip() for thing in scene.objects))
    print("Try:", "; ".join(expression.text for expression in make_expressions(scene)[:5]))


if __name__ == "__main__":
    main()
