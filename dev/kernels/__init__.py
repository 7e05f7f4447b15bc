"""
Real Linux kernels of several ages, booted in an emulator, for tests and captures.

A kernel package of the distribution is fetched without being installed, booted by
qemu with a small root tree in memory, and given one shell script to run. Nothing of
this machine's own kernel is read or changed, no right beyond an ordinary user's is
needed once the machine is set up, and no hardware help is used: a boot takes seconds.

    from kernels import KERNELS, boot

    result = boot(KERNELS["6.1"], "sysctl net.netfilter.nf_conntrack_max")
    assert result.ok, result.output

The guest has busybox, nft, conntrack, iproute2, and the Python that runs this, with
its standard library. More files and folders come in with the call.

Modules: `catalogue` is the table of kernels; `packages` fetches one; `rootfs` packs
what all guests share; `modules` packs what one kernel brings; `archive` writes both;
`emulator` boots; `capture` copies the connection tracking files out of a guest;
`machine` knows what this machine must have; `cache` knows where things are kept.
"""

from kernels.catalogue import KERNELS, Kernel
from kernels.emulator import BootResult, Guest, boot
from kernels.errors import KernelsError, KernelsFailed, KernelsUnavailable

__all__ = [
    "KERNELS",
    "BootResult",
    "Guest",
    "Kernel",
    "KernelsError",
    "KernelsFailed",
    "KernelsUnavailable",
    "boot",
]
