"""
A container engine: the one that answers, or one of our own.

Ours runs in process and mount namespaces of its own, so that nothing of it outlives
us, and touches no network and no packet rule of the host.
"""

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from control_plane.binaries import cache_folder
from control_plane.processes import Program, Watch
from image.errors import ImageFailed, ImageUnavailable
from image.packages import need, there

_START_SECONDS: Final = 60


class Engine:
    """Docker, as a context manager."""

    def __init__(self) -> None:
        """
        Nothing is started yet.
        """
        self.environ = dict(os.environ)
        """Environment of a program that speaks to this engine."""
        self.ours = False
        """Whether it was started here, without networks."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """
        Find an engine that answers, or start one.

        Raises:
            ImageUnavailable: None answers and none can be started.
        """
        if there("docker") and self._answers():
            return self
        if os.geteuid() != 0:
            raise ImageUnavailable(
                "no Docker engine answers; start one, or run this as root"
            )
        need({"docker": "docker.io", "dockerd": "docker.io"})
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        self.ours = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        End the engine, if it is ours.
        """
        self._stack.close()

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """
        Run a docker command.

        Returns:
            Its output.

        Raises:
            ImageFailed: It failed; with the end of what it said.
        """
        done = self._docker(*arguments, cwd=cwd)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise ImageFailed(f"`docker {' '.join(arguments)}` failed:\n{said}")
        return done.stdout

    def has(self, image: str) -> bool:
        """
        Tell whether an image is there.
        """
        return self._docker("image", "inspect", image).returncode == 0

    def pull(self, image: str) -> bool:
        """
        Try to fetch an image.
        """
        return self._docker("pull", "--quiet", image).returncode == 0

    def pipe(self, source: list[str], *arguments: str) -> None:
        """
        Feed the output of a program to a docker command.

        Raises:
            ImageFailed: One of the two failed.
        """
        with subprocess.Popen(source, stdout=subprocess.PIPE) as producer:
            done = subprocess.run(
                ["docker", *arguments],
                stdin=producer.stdout,
                env=self.environ,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode or producer.returncode:
            raise ImageFailed(f"`docker {arguments[0]}` failed: {done.stderr.strip()}")

    def save(self, file: Path, *images: str) -> None:
        """
        Write images into an archive.
        """
        self.run("save", "--output", str(file), *images)

    def _start(self) -> None:
        storage = cache_folder(os.environ).with_name("docker")
        storage.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(_alone(storage.with_name("docker.lock")))
        folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="docker-"))
        )
        watch = Watch(folder)
        self._stack.callback(watch.close)
        self.environ["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
        program = Program(
            "dockerd",
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("--mount-proc", "dockerd"),
                *("--data-root", str(storage), "--exec-root", f"{folder}/exec"),
                *(
                    "--pidfile",
                    f"{folder}/pid",
                    "--host",
                    f"unix://{folder}/docker.sock",
                ),
                *("--bridge=none", "--iptables=false", "--ip6tables=false"),
                *("--ip-forward=false", "--ip-masq=false", "--oom-score-adjust=0"),
            ],
            log=folder / "dockerd.log",
            environ={
                "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
            },
            watch=watch,
        )
        self._stack.callback(program.terminate, seconds=20)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            program.check()
            if time.monotonic() > deadline:
                raise ImageUnavailable(f"dockerd does not answer:\n{program.tail()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        return self._docker("version").returncode == 0

    def _docker(
        self, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments],
            cwd=cwd,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """
    Wait until no other engine of ours has the storage, which takes one at a time.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build of images", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
