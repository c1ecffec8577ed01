#!/usr/bin/env python3
"""Decrypts ciphertexts of this crate with python-paillier.

    pip install phe gmpy2
    cargo run --example python_paillier_exchange > exchange.json
    python tests/data/check_with_python_paillier.py exchange.json
"""

import json
import sys

from phe import paillier

with open(sys.argv[1], encoding="utf-8") as file:
    exchange = json.load(file)

n = int(exchange["n"])
public = paillier.PaillierPublicKey(n)
private = paillier.PaillierPrivateKey(public, int(exchange["p"]), int(exchange["q"]))
assert n.bit_length() == exchange["bits"]

numbers = {}
for item in exchange["ciphertexts"]:
    ciphertext = int(item["ciphertext"])
    assert 0 < ciphertext < n * n
    number = paillier.EncryptedNumber(public, ciphertext)
    found, expected = private.decrypt(number), int(item["value"])
    assert found == expected, f"{item['name']}: {found}, not {expected}"
    assert private.raw_decrypt(ciphertext) == expected % n
    numbers[item["name"]] = number

# And on: python-paillier computes with ciphertexts of this crate.
assert private.decrypt(numbers["a"] + numbers["b"]) == private.decrypt(numbers["a + b"])
assert (numbers["a"] + numbers["b"]).ciphertext(False) == numbers["a + b"].ciphertext(False)
# Floats: mantissa and exponent.
for item in exchange["numbers"]:
    number = paillier.EncryptedNumber(public, int(item["ciphertext"]), item["exponent"])
    found = private.decrypt(number)
    assert abs(found - item["value"]) < 1e-9, f"{item['name']}: {found}, not {item['value']}"
    numbers[item["name"]] = number
price, total = numbers["price"], numbers["total"]
assert private.decrypt(price) == 19.99
assert (price * 12 + price).ciphertext(False) == total.ciphertext(False)
assert (price * 12 + price).exponent == total.exponent

print(f"python-paillier decrypts all {len(numbers)} ciphertexts of a {n.bit_length()}-bit key")
