"""
A base image made of Debian's packages, where no registry can be reached.

It has what `Dockerfile` asks of a base: Python, its venv module, and certificates. It
trusts whom this machine trusts, so that pip works in it behind the same proxy.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from image.engine import Engine
from image.errors import ImageFailed, ImageUnavailable
from image.packages import need

SUITE: Final = "bookworm"
LOCAL_BASE: Final = f"conntrack-base:{SUITE}"

CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""Where Debian keeps whom it trusts, and so where it is in this base."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOT_NEEDED: Final = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


def make_base(engine: Engine) -> str:
    """
    Make the base image, unless it is there.

    Args:
        engine: Where it is imported.

    Returns:
        Its name.

    Raises:
        ImageUnavailable: Not root, or debootstrap is missing.
        ImageFailed: debootstrap failed.
    """
    if engine.has(LOCAL_BASE):
        return LOCAL_BASE
    if os.geteuid() != 0:
        raise ImageUnavailable("making a base image needs root; or name one with BASE=")
    need({"debootstrap": "debootstrap"})
    print(f"making {LOCAL_BASE} of Debian's packages; two minutes, once", flush=True)
    with tempfile.TemporaryDirectory(prefix="base-") as name:
        root = Path(name)
        done = subprocess.run(
            [
                *("debootstrap", "--variant=minbase"),
                *("--include=python3,python3-venv,ca-certificates", SUITE, name),
            ],
            env={**os.environ, "PATH": _PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ImageFailed(f"debootstrap failed:\n{done.stdout.strip()[-1000:]}")
        for each in _NOT_NEEDED:
            shutil.rmtree(root / each, ignore_errors=True)
        if CERTIFICATES.is_file():
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        engine.pipe(
            ["tar", "-C", name, "--one-file-system", "--exclude=./dev", "-c", "."],
            *("import", "--change", f"ENV PATH={_PATH}", "-", LOCAL_BASE),
        )
    return LOCAL_BASE
