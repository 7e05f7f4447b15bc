"""
Make the keys and certificates of one control plane.

Everything is new each time and lives as long as the control plane does, so there is
one authority, no revocation, and a validity of days. Nothing is read or written
here: the values are PEM texts, and `server` decides where they go.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

VALIDITY = dt.timedelta(days=7)
"""
Longer than any test run, and than a demonstration left open over a weekend.
"""

_CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """
    A certificate and its private key, both as PEM.
    """

    certificate: bytes
    key: bytes


class Authority:
    """
    The certificate authority of one control plane; its key never leaves memory.
    """

    def __init__(self) -> None:
        """
        Make a new one.
        """
        self._key = _new_key()
        self._name = _name("control-plane-ca")
        self._certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_ca_usage(), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def certificate(self) -> bytes:
        """
        The certificate that all others are verified with, as PEM.
        """
        return self._certificate.public_bytes(Encoding.PEM)

    def issue_client(self, user: str, groups: Sequence[str] = ()) -> Credential:
        """
        Issue the identity of one user.

        Args:
            user:
                Name that the API server will see.
            groups:
                Groups that the API server will see.

        Returns:
            A credential for client authentication.

        Raises:
            ValueError: A name is empty or longer than the 64 characters that a
                certificate can carry.
        """
        return self._issue(
            _name(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, alternatives=()
        )

    def issue_server(
        self, hosts: Sequence[str], addresses: Sequence[str]
    ) -> Credential:
        """
        Issue the identity of a server.

        Args:
            hosts:
                Host names it is reached by.
            addresses:
                IP addresses it is reached by.

        Returns:
            A credential for server authentication.
        """
        return self._issue(
            _name(hosts[0]),
            ExtendedKeyUsageOID.SERVER_AUTH,
            alternatives=[
                *(x509.DNSName(host) for host in hosts),
                *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses),
            ],
        )

    def _issue(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        alternatives: Sequence[x509.GeneralName],
    ) -> Credential:
        key = _new_key()
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        builder = (
            _builder(subject, self._name, key)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(authority, critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Credential(
            certificate=certificate.public_bytes(Encoding.PEM), key=_pem(key)
        )


def new_signing_key() -> bytes:
    """
    Make the key that signs service account tokens.

    Returns:
        A private key as PEM.
    """
    return _pem(_new_key())


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # The older of the two formats: only from this one does kube-apiserver take the
    # public half as well, so one file serves to sign tokens and to verify them.
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


def _name(common: str, organizations: Sequence[str] = ()) -> x509.Name:
    # Kubernetes reads the user from the common name, the groups from the
    # organizations.
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
    )


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
