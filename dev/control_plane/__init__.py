"""
A real Kubernetes control plane on this machine, for tests and demonstrations.

```python
from control_plane import ControlPlane

with ControlPlane() as plane:
    print(plane.version, plane.url)
    plane.kubectl_run("get", "namespaces")
```

The programs are those that `KUBEBUILDER_ASSETS` names, or are built once from the Go
modules pinned beside this file and kept in a cache. `python -m control_plane --help`
tells the rest.
"""

from control_plane.binaries import Binaries, find_binaries
from control_plane.errors import (
    ControlPlaneError,
    ControlPlaneFailed,
    ControlPlaneUnavailable,
)
from control_plane.progress import Progress
from control_plane.server import ControlPlane

__all__ = [
    "Binaries",
    "ControlPlane",
    "ControlPlaneError",
    "ControlPlaneFailed",
    "ControlPlaneUnavailable",
    "Progress",
    "find_binaries",
]
