"""Rates of SecretFlow HEU on one core, to compare with `cargo run --release --example throughput`.

    pip install sf-heu==0.5.2b0
    taskset -c 0 python benches/peers/secretflow_heu.py ZPaillier 2048

Arguments: the scheme (ZPaillier is HEU's own and fastest, IPCL is Intel's library), the bits of the key, and how many
numbers to encrypt at once. Each ciphertext holds one number; the best of several turns counts.
"""

import sys
import time

import numpy
from heu import numpy as heu_numpy
from heu import phe


def best(operation, turns):
    fastest = float("inf")
    for _ in range(turns):
        start = time.perf_counter()
        result = operation()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, result


def main():
    scheme = sys.argv[1] if len(sys.argv) > 1 else "ZPaillier"
    bits = int(sys.argv[2]) if len(sys.argv) > 2 else 2048
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 512
    kit = heu_numpy.setup(getattr(phe.SchemaType, scheme), bits)
    numbers = numpy.random.randint(0, 1 << 40, count)
    encoded = kit.array(numbers)
    encrypt, ciphertexts = best(lambda: kit.encryptor().encrypt(encoded), 5)
    add, sums = best(lambda: kit.evaluator().add(ciphertexts, ciphertexts), 30)
    decrypt, decrypted = best(lambda: kit.decryptor().decrypt(sums), 3)
    assert [int(str(decrypted[i])) for i in range(count)] == [int(str(encoded[i])) * 2 for i in range(count)]
    print(f"{scheme}, {bits} bits, a second: {count / encrypt:.0f} encryptions, {count / add:.0f} additions, "
          f"{count / decrypt:.0f} decryptions")


main()
