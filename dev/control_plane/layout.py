"""
Name the files in the private folder of one control plane.

Only names: `server` writes the files, `commands` refers to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass field


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Where each file of a control plane is.
    """

    folder: Path
    """
    Readable by its owner only, and gone when the control plane is.
    """

    @property
    def authority(self) -> Path:
        """
        Certificate that the API server's is verified with.
        """
        return self.folder / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        """
        Certificate of the API server.
        """
        return self.folder / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        """
        Key of the API server.
        """
        return self.folder / "apiserver.key"

    @property
    def admin_certificate(self) -> Path:
        """
        Certificate of the administrator, for the readiness checks.
        """
        return self.folder / "admin.crt"

    @property
    def admin_key(self) -> Path:
        """
        Key of the administrator.
        """
        return self.folder / "admin.key"

    @property
    def service_account_key(self) -> Path:
        """
        Key that signs and verifies service account tokens.
        """
        return self.folder / "service-account.key"

    @property
    def etcd_data(self) -> Path:
        """
        Folder of etcd's data.
        """
        return self.folder / "etcd"

    @property
    def home(self) -> Path:
        """
        Home folder of everything that is started, for what it may want to keep.
        """
        return self.folder / "home"

    def kubeconfig(self, user: str) -> Path:
        """
        Name the kubeconfig of a user.

        Args:
            user:
                Short name, fit for a file name.

        Returns:
            The path.
        """
        return self.folder / f"{user}.kubeconfig"

    def log(self, program: str) -> Path:
        """
        Name the log of a program.

        Args:
            program:
                Name of the program.

        Returns:
            The path.
        """
        return self.folder / f"{program}.log"
