#!/usr/bin/env bash
# Installs the Debian 12 packages that Ringway needs; does nothing when they are there.
# What each is for: docs/dependencies.md.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config ccache git)
libraries=(libexpected-dev libfmt-dev libcli11-dev nlohmann-json3-dev libspdlog-dev libpcap-dev libbpf-dev
  libseccomp-dev libcap-ng-dev librapidcheck-dev libtomlplusplus-dev libgtest-dev libgmock-dev
  libbenchmark-dev libdpdk-dev)
checks=(clang-format-14 clang-tidy-14 clang-14 libclang-rt-14-dev)
programs=(redis-server redis-tools nginx-light wrk memcached libmemcached-tools iperf3 socat
  apache2-utils curl iproute2 iputils-ping tcpdump python3 procps util-linux dpdk-dev)

die() {
  echo "setup.sh: $*" >&2
  exit 1
}

command -v dpkg-query >/dev/null ||
  die "this is not Debian: run it on Debian 12, or install what docs/dependencies.md lists by hand"

# Prints those of the given packages that are not installed.
missing_of() {
  local status
  status=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  local package
  for package in "$@"; do
    grep -qxF "$package installed" <<<"$status" || echo "$package"
  done
}

mapfile -t missing < <(missing_of "${build[@]}" "${libraries[@]}" "${checks[@]}" "${programs[@]}")
if ((${#missing[@]} == 0)); then
  exit 0
fi
echo "setup.sh: installing ${missing[*]}"

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null ||
    die "not root and no sudo: as root run: apt-get install --no-install-recommends ${missing[*]}"
  sudo -n true 2>/dev/null || [[ -t 0 ]] ||
    die "sudo asks for a password and there is no terminal: as root run: apt-get install --no-install-recommends ${missing[*]}"
  as_root=(sudo)
fi
command -v apt-get >/dev/null || die "apt-get not found: install ${missing[*]} by hand"

# The daemons among the packages (redis, nginx, memcached) are here as programs for the tests and
# must not start: invoke-rc.d asks this file, and 101 forbids every action.
policy=/usr/sbin/policy-rc.d
saved=""
restore_policy() {
  "${as_root[@]}" rm -f "$policy"
  if [[ -n $saved ]]; then
    "${as_root[@]}" mv "$saved" "$policy"
  fi
}
if [[ -e $policy || -L $policy ]]; then
  saved=$policy.before-ringway
  "${as_root[@]}" mv "$policy" "$saved"
fi
trap restore_policy EXIT
trap 'exit 130' INT TERM
printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
"${as_root[@]}" chmod 755 "$policy"

log=$(mktemp)
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" \
    >"$log" 2>&1 </dev/null
}
fail_apt() {
  tail -n 15 "$log" >&2
  die "$1 (whole log: $log)"
}

apt update || fail_apt "apt-get update failed: check the network and /etc/apt/sources.list"
apt install -y --no-install-recommends "${missing[@]}" ||
  fail_apt "apt-get install failed: it needs the network and Debian 12 (bookworm) main in /etc/apt/sources.list"
rm -f "$log"

mapfile -t missing < <(missing_of "${missing[@]}")
((${#missing[@]} == 0)) || die "still missing after the installation: ${missing[*]}"
