"""Estimates the cycles of a row of the AVX-512 product by llvm-mca: with one limb of the multiplier a
pass, and with two.

    python3 benches/mca/rows.py [--cpu icelake-server] [--mca llvm-mca]

Compiles the bench `limbs_a_pass` to assembly, takes the loop over the rows of a product of 40 limbs
out of it, with the loop over the columns written out, and passes it to llvm-mca, repeated. The text
in `src/backend/simd/ifma/kernel.rs` has the figures of LLVM 14. The model of `sapphirerapids` has
one unit for 512-bit multiply-adds; that of `icelake-server` has two, as the Xeons have.
"""

import argparse
import pathlib
import re
import subprocess
import tempfile

LIMBS = 40
# The rows of a pass, and the products of a turn of its loop over columns: one column, or four of both rows.
VARIANTS = {"one limb a pass": (1, 10), "two limbs a pass": (2, 80)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", default="icelake-server")
    parser.add_argument("--mca", default="llvm-mca")
    args = parser.parse_args()
    lines = body(assembly(), "3mul")
    for name, (rows, products_of_turn) in VARIANTS.items():
        trace = rows_of(lines, rows, products_of_turn)
        cycles, full = estimate(trace, args)
        print(f"{name}: {cycles / rows:.0f} cycles a row, {10 * LIMBS} multiply-adds; the scheduler is full in {full}")


def assembly():
    """The bench as assembly, with names that show the number of limbs."""
    root = pathlib.Path(__file__).resolve().parents[2]
    flags = ["--emit", "asm", "-C", "symbol-mangling-version=v0", "-C", "llvm-args=-x86-asm-syntax=intel"]
    command = ["cargo", "rustc", "--release", "-p", "cipherfold-benches", "--bench", "limbs_a_pass", "--"]
    subprocess.run([*command, *flags], cwd=root, check=True)
    files = (root / "target/release/deps").glob("limbs_a_pass-*.s")
    return max(files, key=lambda file: file.stat().st_mtime).read_text()


def body(text, function):
    """The lines of a function with 40 limbs: instructions and labels."""
    found = re.search(rf"^(\S*6kernel{function}Kj{LIMBS:x}_\S*):$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"the assembly has no function {function} with {LIMBS} limbs")
    end = text.index(".cfi_endproc", found.end())
    lines = text[found.end() : end].splitlines()
    return [line.strip() for line in lines if line.strip() and not re.match(r"\s*\.(cfi|p2align)", line)]


def rows_of(lines, rows, products_of_turn):
    """The loop over rows. Its loop over columns is written out, with as many turns as a row has."""
    labels = {line[:-1]: index for index, line in enumerate(lines) if line.endswith(":")}
    back = [
        (labels[target], index)
        for index, line in enumerate(lines)
        if (target := jump_target(line)) in labels and labels[target] < index
    ]
    for begin, end in back:
        for inner, inner_end in back:
            if begin < inner and inner_end < end and products(lines[inner:inner_end]) == products_of_turn:
                outside = lines[begin + 1 : inner] + lines[inner_end + 1 : end]
                turn = lines[inner + 1 : inner_end]
                turns, rest = divmod(10 * LIMBS * rows - products(outside), products(turn))
                assert rest == 0, "the loops have all products of the rows"
                whole = lines[begin + 1 : inner] + turn * turns + lines[inner_end + 1 : end]
                return [line for line in whole if not line.endswith(":")]
    raise SystemExit("the assembly has no loop over rows with a loop over columns")


def jump_target(line):
    found = re.match(r"j[a-z]+\s+(\S+)$", line)
    return found and found.group(1)


def products(lines):
    return sum("vpmadd52" in line for line in lines)


def estimate(trace, args):
    """Cycles of a pass, and the share of cycles in which the scheduler is full."""
    passes = 40
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("\n".join([".intel_syntax noprefix", *trace, ""]))
        file.flush()
        options = ["-mtriple=x86_64-unknown-linux-gnu", f"-mcpu={args.cpu}", f"-iterations={passes}", "-dispatch-stats"]
        output = subprocess.run([args.mca, *options, file.name], check=True, capture_output=True, text=True).stdout
    cycles = int(re.search(r"Total Cycles:\s+(\d+)", output).group(1))
    full = re.search(r"SCHEDQ\s.*\(([\d.]+%)\)", output)
    return cycles / passes, full.group(1) if full else "0 %"


if __name__ == "__main__":
    main()
