#pragma once

#include <cstdint>

#include "netmap/abi.h"

/// The legacy request, the options of the current one, and the blocks of a program that syncs
/// without system calls (CSB).
namespace ringway::netmap::abi {

struct LegacyRequest {
  char nr_name[16];
  std::uint32_t nr_version;
  std::uint32_t nr_offset;
  std::uint32_t nr_memsize;
  std::uint32_t nr_tx_slots;
  std::uint32_t nr_rx_slots;
  std::uint16_t nr_tx_rings;
  std::uint16_t nr_rx_rings;
  std::uint16_t nr_ringid;
  std::uint16_t nr_cmd;
  std::uint16_t nr_arg1;
  std::uint16_t nr_arg2;
  std::uint32_t nr_arg3;
  std::uint32_t nr_flags;
  std::uint32_t spare2;
};
static_assert(sizeof(LegacyRequest) == 60);

constexpr std::uint16_t kLegacyHwRing = 0x4000;
constexpr std::uint16_t kLegacySwRing = 0x2000;
constexpr std::uint16_t kLegacyNoTxPoll = 0x1000;
constexpr std::uint16_t kLegacyDoRxPoll = 0x8000;
constexpr std::uint16_t kLegacyRingMask = 0x0FFF;
constexpr std::uint32_t kLegacyModeMask = 0xF;

enum LegacyCommand : std::uint16_t {
  kLegacyRegister = 0,
  kLegacyAttach = 1,
  kLegacyDetach = 2,
  kLegacyList = 4,
  kLegacyVnetHdr = 5,
  kLegacyNewif = 6,
  kLegacyDelif = 7,
  kLegacyHostCreate = 8,
  kLegacyHostDelete = 9,
  kLegacyPollingOn = 10,
  kLegacyPollingOff = 11,
  kLegacyVnetHdrGet = 12,
};

/// What the program tells the loop, per ring.
struct CsbAtok {
  std::uint32_t head;
  std::uint32_t cur;
  std::uint32_t appl_need_kick;
  std::uint32_t sync_flags;
  std::uint32_t pad[12];
};
/// What the loop tells the program, per ring.
struct CsbKtoa {
  std::uint32_t hwcur;
  std::uint32_t hwtail;
  std::uint32_t kern_need_kick;
  std::uint32_t pad[13];
};
static_assert(sizeof(CsbAtok) == 64 && sizeof(CsbKtoa) == 64);

struct OptExtmem {
  OptionHeader nro_opt;
  std::uint64_t nro_usrptr;
  PoolsInfo nro_info;
};
struct OptCsb {
  OptionHeader nro_opt;
  std::uint64_t csb_atok;
  std::uint64_t csb_ktoa;
};
struct OptKloopMode {
  OptionHeader nro_opt;
  std::uint32_t mode;
  std::uint32_t pad;
};
struct OptOffsets {
  OptionHeader nro_opt;
  std::uint64_t nro_max_offset;
  std::uint64_t nro_initial_offset;
  std::uint32_t nro_offset_bits;
  std::uint32_t nro_tx_align;
  std::uint64_t nro_min_gap;
};
static_assert(sizeof(OptExtmem) == 96 && sizeof(OptCsb) == 40 && sizeof(OptOffsets) == 56);

}  // namespace ringway::netmap::abi
