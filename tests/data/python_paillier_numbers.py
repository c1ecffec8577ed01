#!/usr/bin/env python3
"""Makes python_paillier_numbers.json: floats and integers with their exponents, by python-paillier.

    pip install phe gmpy2
    python tests/data/python_paillier_numbers.py > tests/data/python_paillier_numbers.json

The key is the 512-bit one of python_paillier.json, which protects nothing. All integers are decimal strings, floats
are the hexadecimal digits of their bits.
"""

import json
import math
import platform
import random
import struct
from importlib.metadata import version
from pathlib import Path

from phe import paillier

stored = json.loads((Path(__file__).parent / "python_paillier.json").read_text(encoding="utf-8"))
entry = next(key for key in stored["keys"] if key["bits"] == 512)
public = paillier.PaillierPublicKey(int(entry["n"]))
private = paillier.PaillierPrivateKey(public, int(entry["p"]), int(entry["q"]))

def bits(value):
    return struct.pack(">d", value).hex()


draw = random.Random(38)
values = [0.0, -0.0, 1.0, -1.0, 0.1, -19.99, 3.141592653589793, 1e10, -1e-10, 123456789.123456789, 2.0**53, 1e22]
values += [2.0**-1022, 5e-324, -(2.0**-1074) * 3, 1e-300, 1.7976931348623157e308, 2.0**52 + 0.5, 2.0**60 + 256]
values += [draw.uniform(-1, 1) * 2.0 ** draw.randrange(-60, 60) for _ in range(15)]

encoded = []
for value in values:
    number = paillier.EncodedNumber.encode(public, value)
    assert number.decode() == value
    encoded.append({"value": bits(value), "exponent": number.exponent, "encoding": str(number.encoding)})

# Rounded to a multiple of a power of 16.
rounded = []
for value in values:
    for precision in [16.0, 1.0, 2.0**-4, 1e-3, 2.0**-32, 2.0**-60]:
        try:
            number = paillier.EncodedNumber.encode(public, value, precision=precision)
        except ValueError:
            continue
        decoded = float(number.decode()) if abs(value) < 1e300 else None
        rounded.append({
            "value": bits(value),
            "exponent": number.exponent,
            "encoding": str(number.encoding),
            "decoded": None if decoded is None else bits(decoded),
        })

# Integers with exponents, as sums and products have them: how they decode.
decoded = []
for _ in range(150):
    mantissa = draw.getrandbits(draw.randrange(1, 505)) * draw.choice([-1, 1])
    exponent = draw.randrange(-330, -1)
    number = paillier.EncodedNumber(public, mantissa % public.n, exponent)
    value = number.decode()
    assert math.isfinite(value)
    decoded.append({"encoding": str(number.encoding), "exponent": exponent, "value": bits(value)})

numbers = [(value, public.encrypt(value)) for value in [0.1, -19.99, 1e10, 3, -(2**70), 1e-10, 0.0]]
encrypted = [
    {"value": bits(value), "exponent": number.exponent, "ciphertext": str(number.ciphertext(be_secure=False))}
    for value, number in numbers
]
sums = []
for a, (_, x) in enumerate(numbers):
    for b, (_, y) in enumerate(numbers):
        total = x + y
        sums.append({
            "a": a, "b": b, "exponent": total.exponent,
            "ciphertext": str(total.ciphertext(be_secure=False)),
            "value": bits(private.decrypt(total)),
        })
products = []
for a, (_, x) in enumerate(numbers):
    for k in [2.5, 0.125, 3, 1e-3]:
        encoding = paillier.EncodedNumber.encode(public, k)
        product = x * encoding
        products.append({
            "a": a, "k": bits(k), "integer": isinstance(k, int), "exponent": product.exponent,
            "ciphertext": str(product.ciphertext(be_secure=False)),
            "value": bits(private.decrypt(product)),
        })

tables = {
    "encoded": encoded, "rounded": rounded, "decoded": decoded, "encrypted": encrypted, "sums": sums,
    "products": products,
}
made_by = f"python-paillier (phe) {version('phe')}, gmpy2 {version('gmpy2')}, Python {platform.python_version()}"
print("{")
print(f'"made_by": {json.dumps(made_by)},')
print('"how": "tests/data/python_paillier_numbers.py",')
rows = {name: ",\n".join(json.dumps(row) for row in table) for name, table in tables.items()}
print(",\n".join(f'"{name}": [\n{lines}\n]' for name, lines in rows.items()))
print("}")
