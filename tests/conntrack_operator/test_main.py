import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conntrack_operator.testing import Answer, ScriptedServer

KubeconfigFor = Callable[..., Path]


async def start(
    *arguments: str, through: tuple[str, ...] = ()
) -> asyncio.subprocess.Process:
    """Start the operator as a process of its own, through another program if given."""
    names = {"LOGNAME", "USER", "LNAME", "USERNAME"}
    return await asyncio.create_subprocess_exec(
        *(*through, sys.executable, "-m", "conntrack_operator", *arguments),
        env={
            **{key: os.environ[key] for key in os.environ.keys() - names},
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Wait for the end; give the exit code and what was said."""
    async with asyncio.timeout(120):
        out, errors = await process.communicate()
    return process.returncode, (out + errors).decode()


async def test_help() -> None:
    """The options are explained without a cluster."""
    code, said = await finish(await start("--help"))

    assert 0 == code
    assert "--liveness-port" in said


async def test_option_that_does_not_hold() -> None:
    """A wrong option ends in one sentence."""
    code, said = await finish(await start("--log-level", "loud"))

    assert 2 == code
    assert 1 == len(said.splitlines())


@pytest.mark.parametrize("option", ["--liveness-port", "--metrics-port"])
async def test_port_that_is_taken(write_kubeconfig: KubeconfigFor, option: str) -> None:
    """It is said which option asks for it, before anything is begun."""
    async with ScriptedServer() as server:
        path, port = write_kubeconfig(server.url), server.url.rpartition(":")[2]
        process = await start("--kubeconfig", str(path), option, port)
        code, said = await finish(process)

    assert 1 == code
    assert f"{option}: cannot listen on port {port}: Address already in use" in said
    assert "starting" not in said


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        ("junk", "it does not have the shape of one: "),
        ("", "is empty"),
    ],
)
async def test_kubeconfig_that_is_none(
    tmp_path: Path, content: str | None, why: str
) -> None:
    """One sentence names the file and what is wrong with it."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)

    code, said = await finish(await start("--kubeconfig", str(path)))

    assert 1 == code
    assert f"cannot read credentials from the kubeconfig {path}: " in said
    assert why in said
    assert 1 == len(said.splitlines())


async def test_kinds_missing(write_kubeconfig: KubeconfigFor) -> None:
    """Without the CRDs the operator says which command helps, and ends."""
    async with ScriptedServer(Answer(status=404)) as server:
        path = write_kubeconfig(server.url)
        process = await start("--kubeconfig", str(path), "--log-format", "text")
        code, said = await finish(process)

    assert 3 == code
    assert "kubectl apply -f crds/" in said
    assert "Traceback" not in said


async def test_signal_while_it_waits_for_the_server(
    write_kubeconfig: KubeconfigFor,
) -> None:
    """An operator that is told to stop stops, also before it has started."""
    async with ScriptedServer() as server:
        process = await start("--kubeconfig", str(write_kubeconfig(server.url)))
        await server.over()
        process.send_signal(signal.SIGTERM)
        code, said = await finish(process)

    assert 0 == code
    assert "Traceback" not in said


@pytest.mark.root
@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="makes a user namespace"
)
async def test_a_uid_without_an_account(write_kubeconfig: KubeconfigFor) -> None:
    """A pod may run under any number; nobody asks for the name that goes with it."""
    names = ("conntrackpolicies", "conntracknodes")
    kinds = [{"name": f"{each}{part}"} for each in names for part in ("", "/status")]
    async with ScriptedServer(Answer(body={"resources": kinds})) as server:
        process = await start(
            *("--kubeconfig", str(write_kubeconfig(server.url))),
            *("--liveness-port", "0"),
            through=("unshare", "--user", "--map-user=4242"),
        )
        await server.over()
        process.send_signal(signal.SIGTERM)
        code, said = await finish(process)

    assert 0 == code, said
    assert "Traceback" not in said
