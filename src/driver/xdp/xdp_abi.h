#pragma once

#include <linux/if_xdp.h>

#include <cstdint>

/// What newer kernels know of AF_XDP and Debian 12's headers (Linux 6.1) do not.
namespace ringway::driver::xdp {

inline constexpr std::uint16_t kUseSg = 1 << 4;             ///< bind flag (Linux 6.6)
inline constexpr std::uint32_t kPacketContinues = 1 << 0;   ///< xdp_desc::options, with kUseSg
inline constexpr std::uint32_t kHasTxMetadata = 1 << 1;     ///< xdp_desc::options (Linux 6.8)
inline constexpr std::uint32_t kTxMetadataLength = 1 << 2;  ///< umem flag (Linux 6.11)
inline constexpr std::uint64_t kTxChecksum = 1 << 1;        ///< TxMetadata::flags
/// The kernel builds socket buffers of at most this many pieces (MAX_SKB_FRAGS).
inline constexpr std::size_t kMaxTxPieces = 17;

/// struct xdp_umem_reg of Linux 6.8; older kernels read its first 24 bytes only.
struct UmemRegistration {
  std::uint64_t address;
  std::uint64_t length;
  std::uint32_t chunk_size;
  std::uint32_t headroom;
  std::uint32_t flags;
  std::uint32_t tx_metadata_length;
};
static_assert(sizeof(UmemRegistration) == 32);

/// struct xsk_tx_metadata: lies right before the frame.
struct TxMetadata {
  std::uint64_t flags;
  std::uint16_t checksum_start;   ///< from the frame's first byte
  std::uint16_t checksum_offset;  ///< of the field, from checksum_start
  std::uint32_t padding;
  std::uint64_t launch_time;
};
static_assert(sizeof(TxMetadata) == 24);

}  // namespace ringway::driver::xdp
