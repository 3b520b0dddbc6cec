"""TLS: a certificate and its key, checked before they are used, and loaded anew while the service runs."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509

from edgellm.errors import ConfigError
from edgellm.serve.settings import SecuritySettings


class TLS:
    """A context for connections; `reload` changes what new ones see."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises: ConfigError."""
        self._certificate, self._key = certificate, key
        self.context = _loaded(certificate, key)

    def reload(self) -> None:
        """Take the files as they are now; on ConfigError the old ones stay."""
        _loaded(self._certificate, self._key)
        self.context.load_cert_chain(self._certificate, self._key)

    def expires(self) -> datetime:
        """When the certificate does, UTC."""
        return _expiry(self._certificate)


def of(security: SecuritySettings) -> TLS | None:
    """As the settings say; None: plain HTTP. Raises: ConfigError."""
    certificate, key = security.tls_certificate, security.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        given, other = ("tls_key", "tls_certificate") if key else ("tls_certificate", "tls_key")
        raise ConfigError(f"security.{given} is given without security.{other}: TLS needs both")
    return TLS(certificate, key)


def _loaded(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context with both files. Raises: ConfigError for what a client would stumble over."""
    for what, path in (("certificate", certificate), ("key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(f"TLS {what} {path}: {error.strerror}") from error
    expires = _expiry(certificate)
    if expires < datetime.now(timezone.utc):
        raise ConfigError(
            f"TLS certificate {certificate} has expired on {expires:%Y-%m-%d %H:%M} UTC: renew it"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"TLS key {key} is not the key of {certificate}: give the pair") from error
        raise ConfigError(
            f"TLS key {key} cannot be read ({error.reason}): give it in PEM, without a password"
        ) from error
    return context


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    return ""


def _expiry(certificate: Path) -> datetime:
    try:
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (ValueError, IndexError) as error:
        raise ConfigError(f"TLS certificate {certificate} is not in PEM: {error}") from error
    return first.not_valid_after_utc
