#!/usr/bin/env bash
# Builds Ringway and runs every test that needs no special hardware.
# The last thing printed is one ctest summary over all builds. Usage: ./test.sh [--quick]
#   --quick   the release build only: no checks, no sanitizers
set -euo pipefail
cd "$(dirname "$0")"

quick=0
case "${1-}" in
  "") ;;
  --quick) quick=1 ;;
  *) echo "usage: ./test.sh [--quick]" >&2; exit 2 ;;
esac

jobs=${RINGWAY_JOBS:-$(nproc)}
# A cache that nobody will ask again only costs time.
[[ -z ${CI-} ]] || export CCACHE_DISABLE=1
logs=build/log
failed=()
mkdir -p "$logs"

# step NAME COMMAND...: runs it with its output in a log; prints the time, and the log's end on failure.
step() {
  local name=$1 begin=$SECONDS
  shift
  printf '%-18s ' "$name"
  if "$@" >"$logs/$name.txt" 2>&1; then
    printf 'ok      %4d s\n' $((SECONDS - begin))
    return 0
  fi
  printf 'FAILED  %4d s\n' $((SECONDS - begin))
  tail -n 60 "$logs/$name.txt"
  echo "test.sh: step '$name' failed; whole log: $logs/$name.txt"
  failed+=("$name")
  return 1
}

# build PRESET [TARGET]
build() {
  cmake --preset "$1" && cmake --build "build/$1" --target "${2:-all}" -- -j"$jobs"
}

builds=(release)
step setup ./setup.sh || exit 1
step build-release build release || exit 1
if ((!quick)); then
  builds=(asan tsan release)
  step check scripts/check || true
  step install scripts/check-install build/release || true
  step build-asan build asan || exit 1
  step build-tsan build tsan tsan_tests || exit 1
fi

# One ctest over all builds: the tests of a sanitizer build carry its name as a prefix.
mkdir -p build/all
for name in "${builds[@]}"; do
  echo "subdirs(\"$PWD/build/$name\")"
done >build/all/CTestTestfile.cmake

# Known passes are left out of the output (they are in the log), one in a hundred is shown as progress.
show='/^ *Start +[0-9]+:/ { next }
      /^ *[0-9]+\/[0-9]+ .* Passed / { if (++n % 100) next }
      { print; fflush() }'
# The thread sanitizer of g++ 12 cannot place its shadow where more than 28 bits of an address are random.
plain=()
if (($(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28) > 28)) && setarch -R true 2>/dev/null; then
  plain=(setarch -R)
fi
# Real programs on a shared machine: what fails is tried once more, and shows in the output as having failed.
status=0
"${plain[@]}" ctest --test-dir build/all -j"$jobs" --output-on-failure \
  --repeat until-pass:2 --output-junit "$PWD/$logs/tests.xml" --test-output-size-passed 65536 2>&1 | tee "$logs/ctest.txt" | awk "$show" ||
  status=1
if ((status)); then
  failed+=(ctest)
fi
if ((${#failed[@]})); then
  echo "test.sh: FAILED: ${failed[*]}" >&2
  exit 1
fi
