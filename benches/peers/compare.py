"""Compares this crate with libraries from PyPI on your machine, in one table of rates.

    python3 benches/peers/compare.py                 # installs the libraries into target/peers, then measures
    python3 benches/peers/compare.py --seconds 0.2   # faster, and less exact

Everything runs on one core, one after the other. Rates are operations a second on a library's unit:
a Paillier ciphertext, or a CKKS vector. "values" is the number of 16-bit values in that unit, for
sums over 100 clients. It is one if the library does not pack values. If a library cannot be
installed or does not run, the program prints the reason.

| package | content |
| sf-heu | SecretFlow HEU, Paillier in C++: ZPaillier, and IPCL by Intel |
| phe | python-paillier, on gmpy2 |
| tenseal, openfhe | CKKS, ring learning with errors: sums of real numbers, approximate, not Paillier |
"""

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "target" / "peers"
# Each library runs in its own process, so that a crash does not end the other measurements.
RUNS = [
    ("SecretFlow HEU, ZPaillier", ["sf-heu", "numpy"], "heu ZPaillier"),
    ("SecretFlow HEU, IPCL", ["sf-heu", "numpy"], "heu IPCL"),
    ("python-paillier, gmpy2", ["phe", "gmpy2"], "phe"),
    ("TenSEAL, CKKS 8192", ["tenseal"], "tenseal"),
    ("OpenFHE, CKKS 8192", ["openfhe"], "openfhe"),
]


def rate(operation, items, seconds):
    """Items a second in the fastest call, and the last result. Calls `operation` at least three times."""
    fastest, end, calls = float("inf"), time.perf_counter() + seconds, 0
    while calls < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        result = operation()
        fastest = min(fastest, time.perf_counter() - start)
        calls += 1
    return items / fastest, result


def heu(scheme, bits, seconds):
    import numpy
    from heu import numpy as heu_numpy
    from heu import phe

    count = 256
    kit = heu_numpy.setup(getattr(phe.SchemaType, scheme), bits)
    encoded = kit.array(numpy.random.randint(0, 1 << 40, count))
    encrypt, ciphertexts = rate(lambda: kit.encryptor().encrypt(encoded), count, seconds)
    add, sums = rate(lambda: kit.evaluator().add(ciphertexts, ciphertexts), count, seconds)
    decrypt, decrypted = rate(lambda: kit.decryptor().decrypt(sums), count, seconds)
    assert all(int(str(decrypted[i])) == 2 * int(str(encoded[i])) for i in range(count))
    return {"encrypt": encrypt, "add": add, "decrypt": decrypt, "values": 1, "bytes": 2 * bits // 8, "exact": True}


def python_paillier(bits, seconds):
    import phe

    public, secret = phe.generate_paillier_keypair(n_length=bits)
    count = 8
    numbers = list(range(count))
    encrypt, ciphertexts = rate(lambda: [public.encrypt(number) for number in numbers], count, seconds)
    add, sums = rate(lambda: [ciphertext + ciphertext for ciphertext in ciphertexts], count, seconds)
    decrypt, decrypted = rate(lambda: [secret.decrypt(total) for total in sums], count, seconds)
    assert decrypted == [2 * number for number in numbers]
    return {"encrypt": encrypt, "add": add, "decrypt": decrypt, "values": 1, "bytes": 2 * bits // 8, "exact": True}


def tenseal(_, seconds):
    import tenseal as ts

    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60], n_threads=1)
    context.global_scale = 2**40
    numbers = [i / 4096 for i in range(4096)]
    encrypt, vector = rate(lambda: ts.ckks_vector(context, numbers), 1, seconds)
    add, total = rate(lambda: vector + vector, 1, seconds)
    decrypt, decrypted = rate(total.decrypt, 1, seconds)
    assert all(abs(found - 2 * number) < 1e-4 for found, number in zip(decrypted, numbers))
    size = len(vector.serialize())
    return {"encrypt": encrypt, "add": add, "decrypt": decrypt, "values": 4096, "bytes": size, "exact": False}


def openfhe(_, seconds):
    import openfhe as of

    parameters = of.CCParamsCKKSRNS()
    parameters.SetMultiplicativeDepth(0)
    parameters.SetScalingModSize(50)
    parameters.SetRingDim(8192)
    context = of.GenCryptoContext(parameters)
    context.Enable(of.PKESchemeFeature.PKE)
    context.Enable(of.PKESchemeFeature.LEVELEDSHE)
    keys = context.KeyGen()
    numbers = [i / 4096 for i in range(4096)]

    def encrypted():
        return context.Encrypt(keys.publicKey, context.MakeCKKSPackedPlaintext(numbers))

    encrypt, vector = rate(encrypted, 1, seconds)
    add, total = rate(lambda: context.EvalAdd(vector, vector), 1, seconds)
    decrypt, decrypted = rate(lambda: context.Decrypt(total, keys.secretKey), 1, seconds)
    decrypted.SetLength(4096)
    found = decrypted.GetRealPackedValue()
    assert all(abs(value - 2 * number) < 1e-4 for value, number in zip(found, numbers))
    size = len(of.Serialize(vector, of.BINARY))
    return {"encrypt": encrypt, "add": add, "decrypt": decrypt, "values": 4096, "bytes": size, "exact": False}


def measure(peer, bits, seconds):
    """Measures one library, in the libraries' environment, and prints its row as JSON."""
    name, *rest = peer.split()
    functions = {"heu": lambda: heu(rest[0], bits, seconds), "phe": lambda: python_paillier(bits, seconds),
                 "tenseal": lambda: tenseal(bits, seconds), "openfhe": lambda: openfhe(bits, seconds)}
    print(json.dumps(functions[name]()))


def crate(bits, seconds):
    """The rows of `throughput` on one thread, by backend."""
    command = ["cargo", "run", "--release", "--quiet", "--example", "throughput", "--",
               "--key-bits", str(bits), "--threads", "1", "--seconds", str(seconds), "--json"]
    subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "throughput"], cwd=ROOT, check=True)
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True,
                                      preexec_fn=one_core).stdout)
    backends = {}
    for row in found["rows"]:
        backend = backends.setdefault(row["backend"], {"exact": True, "bytes": 2 * bits // 8})
        backend[row["operation"]] = row["per_second"]
        if row["operation"] == "encrypt":
            backend["values"] = round(row["values_per_second"] / row["per_second"])
    rows = {}
    for name, row in backends.items():
        if {"encrypt", "add", "decrypt"} <= row.keys():
            rows[name] = row
            rows[f"{name}, short exponents"] = row | {"encrypt": row["encrypt_short"]}
    return rows


def one_core():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def install(packages):
    """The environment's Python with the packages, and the reason if they cannot be installed."""
    if not PEERS.exists():
        venv.create(PEERS, with_pip=True)
    python = PEERS / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], capture_output=True, text=True)
    return python, (None if pip.returncode == 0 else last_line(pip.stderr))


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key-bits", type=int, choices=[2048, 3072, 4096], default=2048)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds for each rate")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    bits, seconds = arguments.key_bits, arguments.seconds
    if arguments.measure:
        return measure(arguments.measure, bits, seconds)

    rows, failures = [], []
    print("measuring cipherfold", file=sys.stderr)
    rows += [(f"cipherfold, {backend}", row) for backend, row in crate(bits, seconds).items()]
    for title, packages, peer in RUNS:
        print(f"measuring {title}", file=sys.stderr)
        python, failure = install(packages)
        if failure is None:
            command = [python, __file__, "--measure", peer, "--key-bits", str(bits), "--seconds", str(seconds)]
            run = subprocess.run(command, capture_output=True, text=True, preexec_fn=one_core)
            if run.returncode == 0:
                rows.append((title, json.loads(run.stdout.splitlines()[-1])))
                continue
            failure = last_line(run.stderr) if run.returncode > 0 else f"ended by signal {-run.returncode}"
        failures.append(f"{title}: {failure}")

    print(f"| one core, {bits}-bit keys | encrypt/s | add/s | decrypt/s | values | bytes a value | sums |")
    print("| :-- | --: | --: | --: | --: | --: | :-- |")
    for title, row in rows:
        size = row["bytes"] / row["values"]
        cells = [f"{row[name]:,.0f}" for name in ("encrypt", "add", "decrypt", "values")]
        print(f"| {title} | {' | '.join(cells)} | {size:.1f} | {'exact' if row['exact'] else 'approximate'} |")
    for failure in failures:
        print(f"\nnot measured: {failure}")


main()
