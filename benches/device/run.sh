#!/usr/bin/env bash
# Tests and measures a card in three to five minutes, with binaries that were built in advance.
#
#   benches/device/run.sh build              on a machine with a compiler: builds target/device
#   benches/device/run.sh [RESULTS]          on the machine with the card and target/device
#   benches/device/run.sh --small [RESULTS]  a test of this script with small inputs, in software
#
# RESULTS is a folder; the default is target/device/results. Every step writes its output to a file
# there. If a step fails or takes too long, the later ones still run. The last lines show the result
# of every step.
set -uo pipefail
cd "$(dirname "$0")/../.."
binaries=target/device

build() {
  set -e
  rm -rf "$binaries"
  mkdir -p "$binaries"
  cargo build --locked --release --features gpu --example gpu_report --example throughput --example secure_mean
  cp target/release/examples/{gpu_report,throughput,secure_mean} "$binaries"
  # The tests with their checks of overflow; `diagnostics` for those of the rates.
  cargo test --locked -p cipherfold --all-features --no-run --lib --test agreement --test gpu --message-format json |
    sed -n 's/.*"name":"\(cipherfold\|agreement\|gpu\)".*"test":true.*"executable":"\([^"]*\)".*/\1 \2/p' |
    while read -r name path; do cp "$path" "$binaries/test_$name"; done
  strip "$binaries"/*
  gzip "$binaries"/test_* # the folder may be copied to another machine; it has some 40 MB
  git rev-parse HEAD >"$binaries/commit"
  git diff --quiet HEAD || echo "with changes" >>"$binaries/commit"
  ls -l "$binaries"
}

if [ "${1:-}" = build ]; then
  build
  exit
fi
small=
if [ "${1:-}" = --small ]; then
  small=1
  shift
fi
if [ ! -e "$binaries/commit" ]; then
  echo "no binaries in $binaries: run '$0 build' first" >&2
  exit 1
fi
results=${1:-$binaries/results}
mkdir -p "$results"
gunzip --force "$binaries"/test_*.gz 2>/dev/null
summary=()
failed=0

# step NAME SECONDS COMMAND...: runs the command, for at most SECONDS.
step() {
  local name=$1 limit=$2 begin=$SECONDS status=ok
  shift 2
  timeout --kill-after=5 "$limit" "$@" >"$results/$name.txt" 2>"$results/$name.err" || status="failed ($?)"
  [ "$status" = ok ] || failed=1
  summary+=("$(printf '%-28s %4d s  %s' "$name" $((SECONDS - begin)) "$status")")
  echo "${summary[-1]}"
}

export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
{
  date -u
  cat "$binaries/commit"
  nvidia-smi --query-gpu=name,driver_version,pcie.link.gen.max,clocks.max.sm --format=csv 2>/dev/null
  lscpu | grep -E '^(Model name|CPU\(s\)|Thread)'
  cat /sys/kernel/mm/transparent_hugepage/enabled
} >"$results/machine.txt" 2>/dev/null
cat "$results/machine.txt"

if [ -n "$small" ]; then
  export CIPHERFOLD_BENCH_SOFTWARE_GPU=1
  report=(--batch 50 --seconds 15) sizes=2048 clients=(--clients 3 --values 50000) seconds=0
else
  report=(--seconds 45) sizes=2048,3072,4096 clients=(--clients 10 --values 5000000) seconds=0.3
fi

# Speed. The measurements come first, in case the card is available for a short time only.
step report 90 "$binaries/gpu_report" --key-bits "$sizes" "${report[@]}"
step report_through_device 40 "$binaries/gpu_report" --key-bits 2048 "${report[@]}" --upload-memory device
for backend in gpu gpu-with-secret-keys auto; do
  # Cite the second run. During the first one the card raises its clock.
  for run in 1 2; do
    step "mean_${backend}_$run" 60 "$binaries/secure_mean" "${clients[@]}" --key-bits 2048 --backend "$backend"
  done
done
step throughput 60 "$binaries/throughput" --key-bits 2048 --seconds "$seconds"
# Correctness: the traces of pieces, faults, and the tests that all backends pass.
export REQUIRE_BACKENDS=gpu,gpu-with-secret-keys
if [ -n "$small" ]; then
  step test_pieces 300 "$binaries/test_cipherfold" gpu::tests::pieces
  step test_battery 300 "$binaries/test_agreement" at_512
else
  step test_inside 120 "$binaries/test_cipherfold" gpu
  step test_battery 120 "$binaries/test_agreement"
  step test_interface 60 "$binaries/test_gpu"
fi

printf '%s\n' "${summary[@]}" >"$results/summary.txt"
echo "results are in $results; $([ "$failed" = 0 ] && echo 'all steps passed' || echo 'some steps failed')"
exit "$failed"
