"""
Pack the root tree that every guest shares: busybox, network tools, Python.

Programs are copied from this machine together with the libraries they load, so the
guest runs the same Python as the one that runs this file.
"""

from __future__ import annotations

import hashlib
import os
import py_compile
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from kernels import machine
from kernels.archive import Archive
from kernels.cache import cached

TOOLS = ("nft", "conntrack", "ip")
"""Programs of this machine that guests get besides busybox and Python."""

_FOLDERS = (
    *("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/etc", "/root", "/var/lib"),
    *("/dev", "/proc", "/sys", "/run", "/tmp"),  # noqa: S108 - the guest's own
)

_LEFT_OUT = frozenset(
    (
        *("__pycache__", "dist-packages", "site-packages", "test", "tests"),
        *("ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"),
    )
)
"""Folders of the standard library that no guest needs: two thirds of its size."""

_SHARED_OBJECT = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x[0-9a-f]+\)")
"""A line of ``ldd`` that names a file: ``libm.so.6 => /lib/.../libm.so.6 (0x…)``."""


def rootfs() -> Path:
    """
    Return the archive of the shared root tree, packed once for each interpreter.
    """
    return cached(f"rootfs-{_fingerprint()}", _pack) / "root.cpio"


def _fingerprint() -> str:
    """
    Name everything that the archive depends on, in a few letters.
    """
    names = ("busybox", "dash", *TOOLS)
    programs = [_interpreter(), *(Path(machine.find(name)) for name in names)]
    facts = [sys.version, Path(__file__).read_text()]
    facts += [f"{path} {path.stat().st_mtime_ns}" for path in programs]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _interpreter() -> Path:
    """
    Return the interpreter behind any virtual environment, with links resolved.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (Path(sys.base_prefix) / "bin" / name).resolve(strict=True)


def _pack(folder: Path) -> None:
    """
    Fill a cache entry with the archive.
    """
    with (folder / "root.cpio").open("wb") as output:
        archive = Archive(output)
        for path in _FOLDERS:
            archive.add_folder(path)
        archive.add_bytes("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        archive.add_bytes("/etc/group", b"root:x:0:\n")
        archive.add_bytes("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")
        programs = {
            "/bin/busybox": Path(machine.find("busybox")),
            # The shell of busybox prefers its own commands to those on the path, and
            # its `ip` knows no namespaces.
            "/bin/sh": Path(machine.find("dash")),
        }
        programs |= {f"/usr/sbin/{name}": Path(machine.find(name)) for name in TOOLS}
        for path, program in programs.items():
            _add_program(archive, path, program)
        _add_python(archive)
        archive.close()


def _add_program(archive: Archive, path: str, program: Path) -> None:
    archive.add_bytes(path, program.read_bytes(), mode=0o755)
    _add_libraries(archive, program)


def _add_libraries(archive: Archive, binary: Path) -> None:
    """
    Add what a program or an extension module loads, at the paths it is found here.
    """
    listed = machine.run(
        # A static program is an error to ldd, and has no libraries.
        ["/bin/sh", "-c", '"$1" "$2" || true', "sh", machine.find("ldd"), str(binary)]
    )
    for library in _SHARED_OBJECT.findall(listed):
        archive.add_path(library, Path(library))


def _add_python(archive: Archive) -> None:
    """
    Add the interpreter and its standard library at their own paths.

    Python finds its library by the path it is started from, links followed, hence
    the same paths as here and a link from the usual name.
    """
    interpreter = _interpreter()
    _add_program(archive, str(interpreter), interpreter)
    for name in ("python3", "python"):
        if str(interpreter) != f"/usr/bin/{name}":
            archive.add_link(f"/usr/bin/{name}", str(interpreter))
    for library in {sysconfig.get_path(key) for key in ("stdlib", "platstdlib")}:
        root = Path(library).resolve()
        for parent, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            for name in names:
                _add_python_file(archive, Path(parent) / name)


def _add_python_file(archive: Archive, path: Path) -> None:
    if path.suffix == ".py":
        archive.add_path(str(path), path)
        tag = sys.implementation.cache_tag
        compiled = path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc"
        archive.add_bytes(str(compiled), _byte_code(path))
    elif path.suffix == ".so":
        archive.add_path(str(path), path)
        _add_libraries(archive, path)


def _byte_code(source: Path) -> bytes:
    """
    Compile a module of the library.

    Compiling is slow under emulation: without this, an import that takes a blink
    here takes seconds there. Times do not survive the archive, so the byte code is
    of the kind that is never compared with its source.
    """
    with tempfile.NamedTemporaryFile(suffix=".pyc") as target:
        py_compile.compile(
            str(source),
            cfile=target.name,
            dfile=str(source),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        return Path(target.name).read_bytes()
