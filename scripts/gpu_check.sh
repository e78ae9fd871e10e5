#!/usr/bin/env bash
# What only a GPU shows, meant for six minutes: its tests, the attention kernels, whole steps at 0.2B and 2B.
#
#     bash scripts/gpu_check.sh results            # on a machine with an NVIDIA GPU, torch with CUDA and transformers
#     bash scripts/gpu_check.sh results --quick    # rehearsal on a CPU, with miniatures
#
# WHEELS=folder    wheels to install first where no registry is reached (of what the machine lacks: av, pydantic, typer)
# PYTHON=program   python3 by default
#
# Results and logs go to the folder named. Every part runs, whatever became of those before; the exit status is the
# number of parts that failed.
set -uo pipefail
[ $# -ge 1 ] || { sed -n 2,13p "$0" >&2; exit 64; }
mkdir -p "$1" && out=$(cd "$1" && pwd) && quick=${2:-}
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PYTHONPATH=$PWD/src PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
failed=0

# part NAME SECONDS COMMAND...: runs it within a time, with a log of its own.
part() {
  local name=$1 limit=$2 began=$SECONDS status=0
  shift 2
  timeout --kill-after=10 "$limit" "$@" > "$out/$name.log" 2>&1 || status=$?
  printf '%-10s exit %-3d %4d s  %s\n' "$name" "$status" $((SECONDS - began)) "$(grep -v '^$' "$out/$name.log" | tail -1 | cut -c1-120)"
  [ "$status" = 0 ] || failed=$((failed + 1))
}

if [ -n "${WHEELS:-}" ]; then
  part wheels 60 "$python" -m pip install --quiet --no-index --find-links "$WHEELS" "$WHEELS"/*.whl
fi
part versions 60 "$python" -m pixelword version
part tests 120 "$python" -m pytest -q -p no:cacheprovider tests/gpu
part flex 80 "$python" benchmarks/bench_flex.py --widths 256/128 --no-sweep --output "$out" $quick
part step 240 "$python" benchmarks/bench_step_gpu.py --candidates eager compile supervised selective \
  --steps 6 --warm 2 --timeout 60 --output "$out" $quick
printf 'results: %s\n' "$out"
ls -l "$out"
exit "$failed"
