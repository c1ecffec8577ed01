"""Functions that restore pickled public objects."""

from __future__ import annotations

from ._cipherfold import PublicKey


def public_key(data: bytes, pin: str, short_exponents: bool) -> PublicKey:
    """The key with these bytes, and the same kind of exponents."""
    key = PublicKey.from_bytes(data, pin)
    return key.with_short_exponents() if short_exponents else key
