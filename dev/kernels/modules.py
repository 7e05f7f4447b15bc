"""
Pack the kernel modules that connection tracking needs, out of one kernel's hundreds.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kernels import machine
from kernels.archive import Archive
from kernels.cache import cached

if TYPE_CHECKING:
    from kernels.packages import Fetched

WANTED = frozenset(
    (
        *("nf_conntrack", "nf_conntrack_netlink", "nfnetlink_cttimeout"),
        *("nf_conntrack_ftp", "nf_conntrack_tftp", "nf_flow_table", "br_netfilter"),
        *("nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_log"),
        *("nft_counter", "nft_limit", "nft_reject_inet", "nft_compat"),
        *("iptable_raw", "ip6table_raw", "iptable_filter", "iptable_nat"),
        *("xt_CT", "xt_conntrack", "xt_comment", "xt_tcpudp", "xt_MASQUERADE"),
        *("veth", "dummy", "bridge"),
    )
)
"""
Modules by name; those that a kernel has built in, or does not have, are passed over.

What these depend on comes with them.
"""


def modules(kernel_name: str, fetched: Fetched) -> Path:
    """
    Return the archive of a kernel's modules, packed once.
    """
    choice = hashlib.sha256(" ".join(sorted(WANTED)).encode()).hexdigest()[:12]
    name = f"modules-{kernel_name}-{fetched.release}-{choice}"
    return cached(name, lambda folder: _pack(fetched, folder)) / "modules.cpio"


def _pack(fetched: Fetched, folder: Path) -> None:
    """
    Fill a cache entry with the archive.

    The lists are made twice: over all modules, to learn what depends on what, and
    again over the chosen ones, for the guest to read.
    """
    everything = folder / "everything"
    chosen = folder / "chosen"
    below = Path("lib/modules") / fetched.release
    shutil.copytree(fetched.modules, everything / below)
    _write_lists(everything, fetched.release)
    for path in _closure((everything / below / "modules.dep").read_text()):
        source = everything / below / path
        target = chosen / below / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".xz":
            # Not every kernel can load a compressed module, none needs to.
            target.with_suffix("").write_bytes(lzma.decompress(source.read_bytes()))
        else:
            shutil.copy(source, target)
    for listing in fetched.modules.glob("modules.builtin*"):
        shutil.copy(listing, chosen / below)
    _write_lists(chosen, fetched.release)
    with (folder / "modules.cpio").open("wb") as output:
        archive = Archive(output)
        archive.add_path("/", chosen)
        archive.close()
    shutil.rmtree(everything)
    shutil.rmtree(chosen)


def _closure(dependencies: str) -> set[str]:
    """
    Choose module files: the wanted ones, and all that they depend on.

    Args:
        dependencies:
            Whole content of ``modules.dep``: on each line a path, a colon, and the
            paths of everything it needs, however indirectly.
    """
    chosen = set[str]()
    for line in dependencies.splitlines():
        path, _, needs = line.partition(":")
        if path.rpartition("/")[2].partition(".")[0].replace("-", "_") in WANTED:
            chosen |= {path, *needs.split()}
    return chosen


def _write_lists(root: Path, release: str) -> None:
    machine.run([machine.find("depmod"), "-b", str(root), release])
