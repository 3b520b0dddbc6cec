"""Signatures: ed25519 over the bytes of bundle.json, which has the checksum of everything else. Needs `cryptography`."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm import fields
from edgellm.bundle.manifest import AGAIN, SIGNATURE
from edgellm.errors import BackendUnavailable, BundleCorrupt, BundleUntrusted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

CONTEXT = b"edgellm bundle\0"  # before the manifest, so that no other signature of the key fits
BYTES_LIMIT = 4096  # of bundle.sig and of key files
ALGORITHM = "ed25519"
PUBLIC_SUFFIX = ".pub.pem"


def generate(path: Path) -> Path:
    """Write a new private key (PKCS 8, readable by its owner alone) to `path`; the public key's path, beside it.

    Raises BundleUntrusted when either file exists: a key is never overwritten.
    """
    _require()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed25519

    public = path.with_name(path.name.removesuffix(".pem") + PUBLIC_SUFFIX)
    for file in (path, public):
        if os.path.lexists(file):
            raise BundleUntrusted(f"{file} exists, and keys are never overwritten: choose another name")
    key = ed25519.Ed25519PrivateKey.generate()
    pem = forms.Encoding.PEM
    private = key.private_bytes(pem, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    _create(path, private, 0o600)
    _create(public, key.public_key().public_bytes(pem, forms.PublicFormat.SubjectPublicKeyInfo), 0o644)
    return public


def _create(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sign(manifest: bytes, key: Path) -> bytes:
    """Content of bundle.sig for these bytes of bundle.json."""
    private = _private(key)
    public = _raw(private.public_key())
    signed = private.sign(CONTEXT + manifest)
    return _render(public.hex(), signed.hex())


def _render(key: str, signature: str) -> bytes:
    return (
        json.dumps({"algorithm": ALGORITHM, "key": key, "signature": signature}, indent=1) + "\n"
    ).encode()


def parse(raw: bytes, path: Path) -> tuple[bytes, bytes]:
    """Public key (32 bytes) and signature (64) that bundle.sig holds; nothing is verified by it."""
    data = fields.parse(raw, f"{path}: {SIGNATURE}", BundleCorrupt, AGAIN)
    key, signature = data.get("key", str), data.get("signature", str)
    try:
        found = bytes.fromhex(key), bytes.fromhex(signature)
    except ValueError:
        found = b"", b""
    if (len(found[0]), len(found[1])) != (32, 64) or raw != _render(key, signature):
        raise BundleCorrupt(f"{data.path}: not an {ALGORITHM} signature: {AGAIN}")
    return found


def verify(manifest: bytes, signature: bytes | None, key: Path, path: Path) -> None:
    """BundleUntrusted unless the bundle at `path` was signed by the owner of the public key."""
    public = _public(key)
    from cryptography.exceptions import InvalidSignature

    if signature is None:
        raise BundleUntrusted(f"{path}: not signed, and {key} is demanded: get a signed bundle")
    signer, signed = parse(signature, path)
    if signer != _raw(public):
        raise BundleUntrusted(
            f"{path}: signed by {signer.hex()[:16]}..., not by {_raw(public).hex()[:16]}... ({key})"
        )
    try:
        public.verify(signed, CONTEXT + manifest)
    except InvalidSignature:
        raise BundleUntrusted(
            f"{path}: the signature does not fit: {SIGNATURE} or the manifest was altered"
        ) from None


def _require() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise BackendUnavailable(
            "cryptography is not installed, signatures need it: pip install 'edgellm[sign]'"
        )


def _private(path: Path) -> ed25519.Ed25519PrivateKey:
    _require()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = forms.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:  # TypeError: it has a pass phrase
        raise BundleUntrusted(f"{path}: not a private key in PEM without a pass phrase ({error})") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BundleUntrusted(f"{path}: a key, but not of {ALGORITHM}: make one with `edgellm keygen`")
    return key


def _public(path: Path) -> ed25519.Ed25519PublicKey:
    _require()
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = forms.load_pem_public_key(_read(path))
    except ValueError:
        raise BundleUntrusted(
            f"{path}: not a public key in PEM: give the file that ends in {PUBLIC_SUFFIX}"
        ) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise BundleUntrusted(f"{path}: a key, but not of {ALGORITHM}: make one with `edgellm keygen`")
    return key


def _raw(key: ed25519.Ed25519PublicKey) -> bytes:
    """32 bytes."""
    return key.public_bytes_raw()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BYTES_LIMIT)
    except OSError as error:
        raise BundleUntrusted(f"{path}: the key cannot be read: {error.strerror}") from None
