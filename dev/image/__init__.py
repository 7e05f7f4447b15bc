"""
The two container images: ``python -m image`` builds them and says what is in them.

Where no container engine answers, root gets one of its own for the time of the build;
where no registry can be reached, a base image is made of Debian's packages.
"""

from image.build import IMAGES, build
from image.engine import Engine

__all__ = ["IMAGES", "Engine", "build"]
