"""Plain Paillier on integers, for exchange with other libraries such as python-paillier.

There are no rounds, no packing and no channels. Ciphertexts are integers modulo n², and plaintexts
are integers modulo n. Negative numbers are reduced modulo n, as in python-paillier. The caller must
do all checks of :class:`~cipherfold.Server` and :class:`~cipherfold.KeyHolder`.

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

    Encrypt many integers at a time: each call makes a table, which takes a tenth of a second or
    more.
    """
    n = key.modulus
    return _paillier_encrypt(key, [value % n for value in values])


def decrypt(key: SecretKey, ciphertexts: Iterable[int]) -> list[int]:
    """Decrypts integers modulo n² to integers from 0 to n - 1.

    Raises:
        MessageError: For a number that is not below n², or zero modulo n.
        DecryptError: For a number that is not a ciphertext.
    """
    return _paillier_decrypt(key, list(ciphertexts))
