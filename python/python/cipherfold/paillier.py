"""Bare Paillier on integers, for exchange with other libraries such as python-paillier.

No round, no packing, no channel: ciphertexts are integers modulo n², plaintexts integers modulo n.
Negative numbers are taken modulo n, as python-paillier has them. All that
:class:`~cipherfold.Server` and :class:`~cipherfold.KeyHolder` check is the caller's part here.

>>> import cipherfold as cf
>>> key = cf.SecretKey.generate(bits=2048)
>>> a, b = cf.paillier.encrypt(key.public, [20, 22])
>>> cf.paillier.decrypt(key, [a * b % key.public.modulus**2])
[42]
"""

from __future__ import annotations

from collections.abc import Iterable

from ._cipherfold import PublicKey, SecretKey, _paillier_decrypt, _paillier_encrypt

__all__ = ["decrypt", "encrypt"]


def encrypt(key: PublicKey, values: Iterable[int]) -> list[int]:
    """Encrypts integers, each modulo n.

    Making the table that encryption needs takes a tenth of a second and more: encrypt many at a
    time.
    """
    n = key.modulus
    return _paillier_encrypt(key, [value % n for value in values])


def decrypt(key: SecretKey, ciphertexts: Iterable[int]) -> list[int]:
    """Decrypts integers modulo n² to integers from 0 to n - 1.

    Raises:
        MessageError: For a number that is not below n², or zero modulo n.
        DecryptError: For a number that no encryption yields.
    """
    return _paillier_decrypt(key, list(ciphertexts))
