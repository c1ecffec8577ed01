#!/usr/bin/env python3
"""Makes python_paillier.json: keys, ciphertexts, sums and products of python-paillier.

    pip install phe gmpy2
    python tests/data/python_paillier.py > tests/data/python_paillier.json

Keys and obfuscation come from the system's generator, so every run writes a different file. The keys
protect nothing. All integers are decimal strings.
"""

import json
import platform
import random
import sys
from importlib.metadata import version

from phe import paillier

# 512 and 4096 bits get a key only: other tests need a key of every size without a search for primes.
SIZES = {512: False, 2048: True, 3072: True, 4096: False}


def key(bits, with_ciphertexts):
    public, private = paillier.generate_paillier_keypair(n_length=bits)
    entry = {"bits": bits, "n": str(public.n), "p": str(private.p), "q": str(private.q)}
    if not with_ciphertexts:
        return entry

    # Values as a user of phe gives them: negative ones are encoded as n - |x|.
    values = [0, 1, 2, -1, -2, 12345678901234567890, -98765432109876543210]
    values += [2**127 - 1, -(2**127), public.max_int, -public.max_int]
    values += [random.SystemRandom().randrange(public.max_int) for _ in range(2)]
    encryptions, numbers = [], []
    for value in values:
        encoded = paillier.EncodedNumber.encode(public, value)
        assert encoded.exponent == 0 and encoded.encoding == value % public.n
        number = public.encrypt(value)
        assert private.decrypt(number) == value
        numbers.append(number)
        encryptions.append({
            "value": str(value),
            "plaintext": str(encoded.encoding),
            # r = 1: the ciphertext without obfuscation, (1 + n)^m.
            "bare": str(public.raw_encrypt(encoded.encoding, r_value=1)),
            "ciphertext": str(number.ciphertext(be_secure=False)),
        })

    # Integers that phe's encoding has no use for, but raw Paillier has.
    for plaintext in [public.n // 2, public.n // 2 + 1, (1 << (bits - 1)) - 1]:
        ciphertext = public.raw_encrypt(plaintext)
        assert private.raw_decrypt(ciphertext) == plaintext
        encryptions.append({
            "value": None,
            "plaintext": str(plaintext),
            "bare": str(public.raw_encrypt(plaintext, r_value=1)),
            "ciphertext": str(ciphertext),
        })

    sums = []
    for a, b in [(0, 1), (1, 3), (4, 5), (5, 6), (7, 8), (9, 10), (11, 12), (3, 3)]:
        total = (numbers[a] + numbers[b]).ciphertext(be_secure=False)
        sums.append({"a": a, "b": b, "plaintext": str(private.raw_decrypt(total)), "ciphertext": str(total)})

    plain_sums = []
    for a, k in [(0, 0), (1, 41), (5, 2**64), (10, 2**90)]:
        total = (numbers[a] + k).ciphertext(be_secure=False)
        plain_sums.append(
            {"a": a, "k": str(k), "plaintext": str(private.raw_decrypt(total)), "ciphertext": str(total)}
        )

    products = []
    for a, k in [(0, 7), (1, 1), (2, 21), (5, 65537), (6, 2**100 + 1), (11, 3), (5, -1), (6, -3)]:
        product = (numbers[a] * k).ciphertext(be_secure=False)
        products.append({
            "a": a,
            # phe multiplies by a negative number through the inverse ciphertext: the plaintext is
            # the same, and the ciphertext differs from that of the power n - |k|.
            "k": str(k),
            "plaintext": str(private.raw_decrypt(product)),
            "ciphertext": str(product),
        })
    return entry | {
        "encryptions": encryptions, "sums": sums, "plain_sums": plain_sums, "products": products
    }


json.dump(
    {
        "made_by": f"python-paillier (phe) {version('phe')}, gmpy2 {version('gmpy2')}, "
                   f"Python {platform.python_version()}",
        "how": "tests/data/python_paillier.py",
        "keys": [key(bits, full) for bits, full in SIZES.items()],
    },
    sys.stdout,
    indent=1,
)
print()
