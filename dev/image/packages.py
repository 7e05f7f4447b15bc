"""
Programs that come from the distribution's packages.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from image.errors import ImageUnavailable


def need(programs: Mapping[str, str]) -> None:
    """
    Make sure that programs are there; as root on Debian and its kin they are installed.

    Args:
        programs: Name of each program, or path of a file, to the package it is in.

    Raises:
        ImageUnavailable: Some are missing and cannot be installed here.
    """
    missing = sorted({package for name, package in programs.items() if not there(name)})
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ImageUnavailable(f"install these packages first: {' '.join(missing)}")
    print(f"installing {' '.join(missing)}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["install", "-y", "-qq", "--no-install-recommends", *missing]
    for arguments in (["update", "-qq"], install):
        done = subprocess.run(
            ["apt-get", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ImageUnavailable(f"apt-get failed: {done.stderr.strip()[-500:]}")


def there(name: str) -> bool:
    """
    Tell whether a program, or a file with a path, exists.
    """
    path = "/usr/local/sbin:/usr/sbin:/sbin:" + os.environ.get("PATH", os.defpath)
    return Path(name).exists() if "/" in name else bool(shutil.which(name, path=path))
