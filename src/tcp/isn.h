#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/seqnum.h"
#include "base/time.h"
#include "tcp/connection.h"

namespace ringway::tcp {

/// SipHash-2-4 (Aumasson and Bernstein 2012) of whole 64-bit words.
template <std::size_t N>
std::uint64_t siphash(const std::array<std::uint64_t, 2>& key,
                      const std::array<std::uint64_t, N>& words) {
  std::uint64_t v0 = key[0] ^ 0x736f6d6570736575U;
  std::uint64_t v1 = key[1] ^ 0x646f72616e646f6dU;
  std::uint64_t v2 = key[0] ^ 0x6c7967656e657261U;
  std::uint64_t v3 = key[1] ^ 0x7465646279746573U;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  const auto absorb = [&](std::uint64_t m) {
    v3 ^= m;
    round(), round();
    v0 ^= m;
  };
  for (const std::uint64_t word : words) absorb(word);
  absorb(std::uint64_t{N * 8} << 56);
  v2 ^= 0xff;
  round(), round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

/// The hash of a connection's endpoints under the stack's secret.
inline std::uint64_t endpoint_hash(const std::array<std::uint64_t, 2>& secret,
                                   const Connection& c) {
  return siphash<5>(secret, {c.local.high(), c.local.low(), c.remote.high(), c.remote.low(),
                             std::uint64_t{c.local_port} << 16 | c.remote_port});
}

/// ISN = M + F(endpoints, secret), M a clock of 4 us (RFC 6528, 3).
inline base::SeqNum initial_sequence(std::uint64_t hash, base::Instant now) {
  return {static_cast<std::uint32_t>(hash) + static_cast<std::uint32_t>(now.ns / 4000)};
}

}  // namespace ringway::tcp
