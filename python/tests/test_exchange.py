"""Keys and ciphertexts are exchanged with python-paillier, in both directions."""

from __future__ import annotations

import cipherfold as cf
import numpy as np
import phe  # type: ignore[import-untyped]
import pytest
from conftest import Round
from phe import paillier as python_paillier

NUMBERS = [0, 1, 42, 2**64, 2**127 + 7]


@pytest.mark.parametrize("bits", [2048, 3072])
def test_keys_of_this_package_in_python_paillier(bits: int) -> None:
    key = cf.SecretKey.generate(bits)
    p, q = key.expose_primes()
    public = phe.PaillierPublicKey(key.public.modulus)
    private = phe.PaillierPrivateKey(public, p, q)
    assert p * q == key.public.modulus and p < q and public.n.bit_length() == bits == key.bits
    ciphertexts = cf.paillier.encrypt(key.public, [*NUMBERS, -5])
    assert [private.raw_decrypt(ciphertext) for ciphertext in ciphertexts] == [*NUMBERS, public.n - 5]
    theirs = [public.raw_encrypt(number) for number in NUMBERS]
    assert cf.paillier.decrypt(key, theirs) == NUMBERS
    # Sums of both.
    mixed = [ours * their % public.nsquare for ours, their in zip(ciphertexts[:-1], theirs, strict=True)]
    assert cf.paillier.decrypt(key, mixed) == [2 * number for number in NUMBERS]
    assert [private.raw_decrypt(ciphertext) for ciphertext in mixed] == [2 * number for number in NUMBERS]
    encrypted = phe.EncryptedNumber(public, ciphertexts[2], 0)
    assert private.decrypt(encrypted + 8) == 50


def test_keys_of_python_paillier_in_this_package(round_number: int) -> None:
    public, private = python_paillier.generate_paillier_keypair(n_length=2048)
    key = cf.SecretKey.from_primes(private.q, private.p)
    assert key.public.modulus == public.n and key.expose_primes() == tuple(sorted((private.p, private.q)))
    assert cf.paillier.decrypt(key, [public.raw_encrypt(number) for number in NUMBERS]) == NUMBERS
    update = np.arange(100)
    spec = cf.RoundSpec.for_arrays(update, cf.Integers(max=99), max_clients=2, round=round_number)
    assert Round(key, spec, [update, update]).run().values.tolist() == (2 * update).tolist()
    again = cf.SecretKey.from_primes(private.p, private.q)
    assert again.session != key.session and again.public.modulus == key.public.modulus


def test_invalid_primes() -> None:
    p, q = cf.SecretKey.generate(2048).expose_primes()
    for wrong, kind in [
        ((p, p), "paillier.EqualPrimes"),
        ((p, q + 2), "paillier.NotPrime"),
        ((p + 1, q), "paillier.EvenModulus"),
        ((p, 3), "federated.KeyBits"),
        ((0, 0), "federated.KeyBits"),
        ((-p, -q), "python.Setting"),
        ((p, -q), "python.Setting"),
    ]:
        with pytest.raises(cf.Error) as caught:
            cf.SecretKey.from_primes(*wrong)
        assert caught.value.kind == kind, wrong
    with pytest.raises(TypeError):
        cf.SecretKey.from_primes(str(p), q)  # type: ignore[arg-type]


def test_integers_that_are_not_ciphertexts() -> None:
    key = cf.SecretKey.generate(2048)
    n = key.public.modulus
    for wrong, kind in [
        (0, "paillier.CiphertextZero"),
        (n, "paillier.CiphertextZero"),
        (n**2, "paillier.CiphertextRange"),
        (2**5000, "paillier.CiphertextRange"),
        (-1, "python.Setting"),
        (key.expose_primes()[0], "paillier.Decrypt"),
    ]:
        with pytest.raises(cf.Error) as caught:
            cf.paillier.decrypt(key, [wrong])
        assert caught.value.kind == kind, kind
    assert cf.paillier.encrypt(key.public, []) == [] == cf.paillier.decrypt(key, [])
