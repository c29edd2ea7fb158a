#!/usr/bin/env bash
# Builds Ringway, runs redis, nginx and a ping-pong on the kernel and on Ringway in turn, prints the table
# and draws it as demo.html. Usage: ./demo.sh [options of `ringway bench`], e.g. ./demo.sh --pairs 5
set -euo pipefail
cd "$(dirname "$0")"

logs=build/log
mkdir -p "$logs"

# step TEXT LOG COMMAND...: says what is going on; the output goes to a log, whose end is shown on failure.
step() {
  local text=$1 log=$logs/$2.txt begin=$SECONDS
  shift 2
  printf '%-44s ' "$text ..."
  if "$@" >"$log" 2>&1; then
    printf 'done (%d s)\n' $((SECONDS - begin))
  else
    printf 'FAILED\n'
    tail -n 30 "$log"
    echo "demo.sh: failed at: $*; the whole log is $log" >&2
    exit 1
  fi
}

if [[ -x ./setup.sh ]]; then
  ./setup.sh
fi
step "configuring" demo-configure cmake --preset release
step "building (a few minutes the first time)" demo-build cmake --build build/release --target programs

bench=(build/release/bin/ringway bench)
if ! "${bench[@]}" --list >/dev/null 2>&1; then
  bench=(build/release/bin/rw-bench)
fi
status=0
"${bench[@]}" --quick --cases redis-p1,redis-p16,nginx-1k,pingpong --json build/demo.json "$@" || status=$?
if [[ -s build/demo.json ]] && ((status != 2)); then
  bench/draw.py build/demo.json demo.html
  echo "The picture: $PWD/demo.html"
fi
exit "$status"
