"""
Names and files of the node: values in, texts out.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

NODE: Final = "e2e-node"
SERVICE_ADDRESS: Final = "10.0.0.1"
"""Of the ``kubernetes`` service; its certificate names it."""
NODE_ADDRESS: Final = "10.0.0.2"
ADDRESSES: Final = (SERVICE_ADDRESS, NODE_ADDRESS)
"""What loopback gets for the time of the run."""
SERVICE_RANGE: Final = "10.0.0.0/24"
POD_RANGE: Final = "10.88.77.0/24"
BRIDGE: Final = "ctop-e2e"
CGROUP: Final = "conntrack-e2e"
CNI_PROGRAMS: Final = "/usr/lib/cni"
"""Where Debian keeps them."""
PAUSE: Final = "localhost/pause:1"

HIDDEN: Final = (
    "/run/containerd",
    "/run/netns",
    "/var/lib/conntrack-operator",
    "/var/lib/cni",
    "/var/log/containers",
    "/var/log/pods",
)
"""Folders with fixed names; the node sees empty ones of its own instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the files of one run are."""

    folder: Path

    @property
    def socket(self) -> Path:
        """
        Give the way to containerd.
        """
        return self.folder / "containerd.sock"

    @property
    def logs(self) -> Path:
        """
        Give the directory of the containers' logs.
        """
        return self.folder / "logs"

    def write(self, runc: str, kubelet_port: int) -> None:
        """
        Write every configuration file.

        Args:
            runc: The program.
            kubelet_port: Where the kubelet listens, on loopback.
        """
        for name in ("cni", "logs", "kubelet"):
            (self.folder / name).mkdir()
        (self.folder / "cni" / "10-bridge.conflist").write_text(_network())
        (self.folder / "containerd.toml").write_text(self._containerd(runc))
        (self.folder / "kubelet.yaml").write_text(self._kubelet(kubelet_port))

    def _containerd(self, runc: str) -> str:
        """
        Configure containerd 2.
        """
        return f"""\
version = 3
root = "{self.folder}/containerd"
state = "{self.folder}/containerd-state"
[grpc]
address = "{self.socket}"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
# A root without CAP_SYS_RESOURCE may not lower it, and every sandbox would fail.
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PROGRAMS}"]
conf_dir = "{self.folder}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
BinaryName = "{runc}"
"""

    def _kubelet(self, port: int) -> str:
        """
        Configure the kubelet; it keeps its hands off the host's packet rules.
        """
        return yaml.safe_dump(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": "127.0.0.1",
                "port": port,
                "healthzPort": 0,
                "failCgroupV1": False,
                "failSwapOn": False,
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{CGROUP}",
                "enforceNodeAllocatable": [],
                # A full disk of this machine is no reason to throw away our images.
                "imageGCHighThresholdPercent": 100,
                "imageGCLowThresholdPercent": 99,
                "evictionHard": {
                    "memory.available": "50Mi",
                    "nodefs.available": "1%",
                    "imagefs.available": "1%",
                },
                "containerRuntimeEndpoint": f"unix://{self.socket}",
                "makeIPTablesUtilChains": False,
                "podLogsDir": str(self.logs),
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": False},
                },
                "authorization": {"mode": "AlwaysAllow"},
            }
        )


def _network() -> str:
    """
    Configure a bridge for pods; nothing is translated, and nothing goes outside.
    """
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": SERVICE_RANGE}],
        },
    }
    plugins = [bridge, {"type": "loopback"}]
    return json.dumps({"cniVersion": "1.0.0", "name": "e2e", "plugins": plugins})
