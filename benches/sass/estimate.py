"""Estimates the kernels' speed without a card: registers, instructions, and use of the multiplier, by NVIDIA's compiler.

    cargo install naga-cli
    pip install cuda-bindings nvidia-cuda-nvrtc nvidia-cuda-nvdisasm nvidia-cuda-cuobjdump
    cargo run --release --features gpu --example gpu_report -- --shaders target/lanes_8
    cargo run --release --features gpu --example gpu_report -- --shaders target/lanes_4 --lanes 4
    python benches/sass/estimate.py target/lanes_8/fold_2048_subgroup.wgsl target/lanes_4/fold_2048_subgroup.wgsl ...

**An estimate, not a measurement.** naga translates WGSL to Metal's language, a few definitions turn
that into CUDA, and NVRTC compiles it for sm_90. This is not the compiler in the Vulkan driver, but
both use the same assembler. Then a model of one of a multiprocessor's four schedulers runs the
inner loop, which is the smallest loop with most of the wide multiply-adds. The model issues one
instruction a cycle from any warp that is ready. Stall counts, barriers and waits are those that the
assembler wrote into the instructions (as in Jia, Maggioni, Staiger, Scarpazza, "Dissecting the
NVIDIA Volta GPU architecture via microbenchmarking", 2018, section 2.1). These assumptions are not
confirmed for Hopper: a wide multiply-add every 4 cycles, any other multiplication every 2 in the
same pipe, integer operations every 2, shuffles every 4 with 24 cycles of latency. The model ignores
waits for memory and for other warps at the barrier of a workgroup.

Columns: registers of an invocation, and bytes that it spills; instructions of the inner loop, and
wide multiply-adds among them; warps of a scheduler; the share of the assumed rate of wide
multiply-adds that the model reaches; and for folds the maximum products a second by that rate, on
132 multiprocessors at 1.755 GHz. """

import ctypes
import glob
import os
import re
import site
import subprocess
import sys
import tempfile

PACKAGE = next(path for root in site.getsitepackages() for path in glob.glob(root + "/nvidia/cu*"))
for library in sorted(glob.glob(PACKAGE + "/lib/libnvrtc-builtins*")) + sorted(glob.glob(PACKAGE + "/lib/libnvrtc.so*")):
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)

from cuda.bindings import nvrtc  # noqa: E402  (finds the library that was just loaded)

MULTIPROCESSORS, HERTZ, REGISTERS = 132, 1.755e9, 16384  # registers of 32 lanes' words a scheduler
LATENCY = {"SHFL": 24, "LDG": 400, "LDS": 30, "LDC": 40, "S2R": 30}
INTERVAL = {"IMAD.WIDE": 4, "IMAD": 2, "SHFL": 4}

METAL = """
typedef unsigned int uint; typedef unsigned long long ulong; typedef unsigned short ushort;
namespace metal {
struct uint2 { uint x, y; uint2() = default; uint2(uint a) : x(a), y(a) {} uint2(uint a, uint b) : x(a), y(b) {}
  uint2 &operator-=(uint2 v) { x -= v.x; y -= v.y; return *this; } };
struct bool2 { bool x, y; };
inline bool2 operator==(uint2 a, uint2 b) { return {a.x == b.x, a.y == b.y}; }
inline bool all(bool2 v) { return v.x && v.y; }
struct uint3 { uint x, y, z; };
struct uint4 { uint x, y, z, w; uint4() = default; uint4(uint a, uint b, uint c, uint d) : x(a), y(b), z(c), w(d) {} };
struct packed_uint3 { uint x, y, z; packed_uint3() = default; packed_uint3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  operator uint3() const { return {x, y, z}; } };
template <class T> T min(T a, T b) { return a < b ? a : b; }
template <class T> T max(T a, T b) { return a > b ? a : b; }
template <class T> T select(T a, T b, bool c) { return c ? b : a; }
template <class T> T simd_shuffle(T value, uint lane) { return __shfl_sync(~0u, value, lane); }
enum class mem_flags { mem_threadgroup };
inline void threadgroup_barrier(mem_flags) { __syncthreads(); }
}
template <class To, class From> To as_type(From from) { return (To)from; }
"""

BUILTINS = {
    "threadgroup_position_in_grid": "{blockIdx.x, blockIdx.y, blockIdx.z}",
    "threadgroups_per_grid": "{gridDim.x, gridDim.y, gridDim.z}",
    "thread_position_in_grid": "{blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y, blockIdx.z}",
    "simdgroup_index_in_threadgroup": "threadIdx.x / 32",
    "thread_index_in_simdgroup": "threadIdx.x % 32",
    "thread_index_in_threadgroup": "threadIdx.x",
    "threads_per_simdgroup": "32",
}


def cuda(metal):
    """Translates Metal's language to CUDA."""
    head, name, parameters, body = re.search(
        r"(.*)\[\[max_total_threads_per_threadgroup\((?:\d+)\)\]\] kernel void (\w+)\((.*?)\n\) \{\n(.*)", metal, re.S).groups()
    outside, inside = [], []
    for parameter in re.split(r"\n?, |\n  ", parameters.strip()):
        declared, attribute = re.match(r"(.*?)(?: \[\[(.*?)\]\])?$", parameter.strip()).groups()
        kind, variable = declared.rsplit(" ", 1)
        if attribute in BUILTINS:
            inside.append(f"{kind} {variable} = {BUILTINS[attribute]};")
        elif kind.startswith("threadgroup"):
            inside.append(f"__shared__ {kind[len('threadgroup '):].rstrip('&')} {variable};")
        elif kind.startswith("device"):
            kind = kind[len("device "):].rstrip("&").strip()
            outside.append(f"{kind} *__restrict__ {variable}_")
            inside.append(f"{kind} &{variable} = *{variable}_;")
        else:
            outside.append(f"{kind.replace('constant', '').rstrip('&')} {variable}")
    head = re.sub(r"#include.*|using metal::uint;", "", head)
    text = head + f'extern "C" __global__ void __launch_bounds__(64) kernel_{name}({", ".join(outside)}) {{\n' + "\n".join(inside) + body
    text = re.sub(r"\b(thread|device|threadgroup) (?=[\w:]+(?: const)?& )", "", text)
    text = re.sub(r"(?<![\w:])uint([234])\b", r"metal::uint\1", text)  # CUDA has its own
    return METAL + re.sub(r"\bconstant\b", "const", text)


def compiled(text):
    """The cubin for sm_90."""
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    options = [b"--gpu-architecture=sm_90", b"--device-as-default-execution-space", b"--std=c++17"]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * size
        nvrtc.nvrtcGetProgramLog(program, log)
        sys.exit(log.decode())
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    cubin = b" " * size
    nvrtc.nvrtcGetCUBIN(program, cubin)
    return cubin


class Instruction:
    """An instruction, with the assembler's control bits for the scheduler."""

    def __init__(self, address, text, code):
        self.address = address
        words = text.split()
        self.name = words[1] if words[0].startswith("@") else words[0]
        target = re.search(r"BRA.*?`\(\.L_x_(\d+)\)", text)
        self.target = target and target.group(1)
        control = code >> 105
        self.stall = control & 15
        self.sets = [barrier for barrier in (control >> 5 & 7, control >> 8 & 7) if barrier < 6]
        self.waits = [barrier for barrier in range(6) if control >> 11 >> barrier & 1]
        self.is_wide = self.name.startswith("IMAD.WIDE")
        kind = self.name.split(".")[0]
        self.pipe = {"IMAD": "multiplier", "SHFL": "shuffle", "LDG": "memory", "LDS": "memory"}.get(kind, "integer")
        self.interval = INTERVAL["IMAD.WIDE"] if self.is_wide else INTERVAL.get(kind, 2)
        self.latency = LATENCY.get(kind, 12)


def inner_loop(disassembly):
    """The instructions of the smallest loop with most of the wide multiply-adds."""
    instructions, labels, pending = [], {}, None
    for line in disassembly.splitlines():
        if label := re.match(r"\.L_x_(\d+):", line):
            labels[label.group(1)] = len(instructions)
        elif found := re.match(r"\s+/\*([0-9a-f]+)\*/\s+(.*?)\s*;\s+/\* 0x([0-9a-f]+) \*/", line):
            pending = found.groups()
        elif (high := re.match(r"\s+/\* 0x([0-9a-f]+) \*/", line)) and pending:
            address, text, low = pending
            code = int(high.group(1), 16) << 64 | int(low, 16)
            instructions.append(Instruction(int(address, 16), text, code))
            pending = None
    most = sum(instruction.is_wide for instruction in instructions) / 4
    loops = [instructions[labels[last.target]:end + 1] for end, last in enumerate(instructions)
             if last.target in labels and labels[last.target] <= end]
    loops = [loop for loop in loops if sum(instruction.is_wide for instruction in loop) >= most]
    return min(loops, key=len)


def share_of_rate(loop, warps, rounds=12):
    """The share of the multiplier's time for wide multiply-adds, with `warps` warps in the loop."""
    free = {}
    state = [{"at": 0, "ready": 37 * warp, "barriers": [0] * 6} for warp in range(warps)]
    done = cycle = 0
    last = first = None
    total = rounds * len(loop)
    while done < warps:
        for warp in sorted(state, key=lambda warp: warp is last, reverse=True):
            if warp["at"] == total or warp["ready"] > cycle:
                continue
            instruction = loop[warp["at"] % len(loop)]
            if any(warp["barriers"][barrier] > cycle for barrier in instruction.waits):
                continue
            if free.get(instruction.pipe, 0) > cycle:
                continue
            free[instruction.pipe] = cycle + instruction.interval
            warp["ready"] = cycle + max(1, instruction.stall)
            for barrier in instruction.sets:
                warp["barriers"][barrier] = cycle + instruction.latency
            warp["at"] += 1
            done += warp["at"] == total
            last = warp
            break
        cycle += 1
    wide = sum(instruction.is_wide for instruction in loop)
    return warps * rounds * wide * INTERVAL["IMAD.WIDE"] / cycle


def main():
    print("kernel                          registers  spilled  instructions  wide  warps  of the rate  allowed")
    for path in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            metal, cubin = folder + "/kernel.metal", folder + "/kernel.cubin"
            subprocess.run(["naga", path, metal, "--metal-version", "2.4"], check=True, stdout=subprocess.DEVNULL)
            with open(cubin, "wb") as file:
                file.write(compiled(cuda(open(metal).read())))
            tool = lambda name, *arguments: subprocess.run(
                [f"{PACKAGE}/bin/{name}", *arguments, cubin], check=True, capture_output=True, text=True).stdout
            usage = tool("cuobjdump", "-res-usage")
            loop = inner_loop(tool("nvdisasm", "-c", "-hex"))
        registers = int(re.search(r"REG:(\d+)", usage).group(1))
        spilled = int(re.search(r"STACK:(\d+)", usage).group(1))
        # A workgroup has two warps, on two of the four schedulers.
        warps = REGISTERS // (32 * (-(-registers // 8) * 8))
        head = open(path).read(400)
        bits, lanes, limbs = map(int, re.search(r"(\d+) bits in (\d+) lanes of (\d+) limbs", head).groups())
        wide = sum(instruction.is_wide for instruction in loop)
        bound = ""
        if os.path.basename(path).startswith("fold"):
            bound = f"{MULTIPROCESSORS * 32 * HERTZ / (5 * (lanes * limbs) ** 2) / 1e6:.0f} M"
        name = f"{os.path.basename(path).removesuffix('.wgsl')}, {lanes} × {limbs}"
        print(f"{name:32}{registers:9}{spilled:9}{len(loop):14}{wide:6}{warps:7}{share_of_rate(loop, warps):12.0%}{bound:>11}")


main()
