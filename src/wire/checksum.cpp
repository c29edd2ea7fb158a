#include "wire/checksum.h"

#include <emmintrin.h>

namespace ringway::wire {

std::uint64_t Checksum::sum_bulk(std::span<const std::byte> bytes) {
  // Each 64-bit lane collects 32-bit words, so a carry cannot get lost below 2^32 words.
  const __m128i low = _mm_set1_epi64x(0xffffffffLL);
  __m128i even = _mm_setzero_si128();
  __m128i odd = _mm_setzero_si128();
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 32; p += 32, left -= 32) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16));
    even = _mm_add_epi64(even, _mm_add_epi64(_mm_and_si128(a, low), _mm_and_si128(b, low)));
    odd = _mm_add_epi64(odd, _mm_add_epi64(_mm_srli_epi64(a, 32), _mm_srli_epi64(b, 32)));
  }
  const __m128i both = _mm_add_epi64(even, odd);
  const auto first = static_cast<std::uint64_t>(_mm_cvtsi128_si64(both));
  const auto second = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)));
  return first + second + sum_small({p, left});
}

}  // namespace ringway::wire
