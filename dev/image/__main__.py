"""
``python -m image``: build both images and say what they are made of.
"""

import argparse
import sys

from control_plane import ControlPlaneError
from image.build import build, contents
from image.engine import Engine
from image.errors import ImageFailed, ImageUnavailable

UNAVAILABLE = 3


def main() -> int:
    """
    Build.

    Returns:
        0 built; 1 failed; 3 when this machine cannot build images.
    """
    parser = argparse.ArgumentParser(prog="image", description=__doc__)
    parser.add_argument("--base", default="", help="base image to build on")
    parser.add_argument("--tag", default="", help="default: the version")
    options = parser.parse_args()
    try:
        with Engine() as engine:
            for image in build(engine, options.base, options.tag).values():
                print(contents(engine, image), flush=True)
    except ImageUnavailable as error:
        print(f"image: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ImageFailed, ControlPlaneError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
