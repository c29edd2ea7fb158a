#pragma once

#include <sys/time.h>

#include <cstddef>
#include <cstdint>

/// The netmap ABI as programs were compiled against it: layouts and numbers, nothing else.
namespace ringway::netmap::abi {

constexpr std::uint16_t kApi = 14;
constexpr std::uint16_t kMaxApi = 15;
constexpr std::size_t kNameBytes = 64;
constexpr std::size_t kInterfaceNameBytes = 16;
constexpr std::size_t kMaxRequestBytes = 4096;
constexpr std::uint32_t kMaxFragments = 64;
constexpr const char* kDevice = "/dev/netmap";

// Only the low 32 bits of an ioctl request identify it.
constexpr std::uint32_t kGetInfo = 0xC03C6991;   // legacy
constexpr std::uint32_t kRegister = 0xC03C6992;  // legacy
constexpr std::uint32_t kTxSync = 0x00006994;
constexpr std::uint32_t kRxSync = 0x00006995;
constexpr std::uint32_t kConfig = 0xC1106996;
constexpr std::uint32_t kControl = 0xC0586997;

enum Request : std::uint16_t {
  kReqRegister = 1,
  kReqPortInfoGet,
  kReqValeAttach,
  kReqValeDetach,
  kReqValeList,
  kReqPortHdrSet,
  kReqPortHdrGet,
  kReqValeNewif,
  kReqValeDelif,
  kReqPollingEnable,
  kReqPollingDisable,
  kReqPoolsInfoGet,
  kReqKloopStart,
  kReqKloopStop,
  kReqCsbEnable,
};

enum Option : std::uint32_t {
  kOptExtmem = 1,
  kOptKloopEventfds,
  kOptCsb,
  kOptKloopMode,
  kOptOffsets,
  kOptMax,
};

enum Mode : std::uint32_t {
  kModeDefault = 0,
  kModeAllNic,
  kModeSw,
  kModeNicSw,
  kModeOneNic,
  kModePipeMaster,
  kModePipeSlave,
  kModeNull,
  kModeOneSw,
};

enum Flag : std::uint64_t {
  kMonitorTx = 0x100,
  kMonitorRx = 0x200,
  kZcopyMonitor = 0x400,
  kExclusive = 0x800,
  kRxRingsOnly = 0x2000,
  kTxRingsOnly = 0x4000,
  kAcceptVnetHdr = 0x8000,
  kDoRxPoll = 0x10000,
  kNoTxPoll = 0x20000,
};

enum SlotFlag : std::uint16_t {
  kBufChanged = 0x1,
  kReport = 0x2,
  kForward = 0x4,
  kNoLearn = 0x8,
  kIndirect = 0x10,
  kMoreFrag = 0x20,
  kTxMon = 0x40,
};

constexpr std::uint32_t kIfPrivateMemory = 1;

struct Slot {
  std::uint32_t buf_idx;
  std::uint16_t len;
  std::uint16_t flags;
  std::uint64_t ptr;
};
static_assert(sizeof(Slot) == 16);

struct Ring {
  std::int64_t buf_ofs;
  std::uint32_t num_slots;
  std::uint32_t nr_buf_size;
  std::uint16_t ringid;
  std::uint16_t dir;
  std::uint32_t head;
  std::uint32_t cur;
  std::uint32_t tail;
  std::uint32_t flags;
  timeval ts;
  std::uint64_t offset_mask;
  std::uint64_t buf_align;
  alignas(128) std::uint8_t sem[128];
  Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
};
static_assert(sizeof(Ring) == 256 && offsetof(Ring, ts) == 40 && offsetof(Ring, sem) == 128);

struct If {
  char ni_name[kInterfaceNameBytes];
  std::uint32_t ni_version;
  std::uint32_t ni_flags;
  std::uint32_t ni_tx_rings;
  std::uint32_t ni_rx_rings;
  std::uint32_t ni_bufs_head;
  std::uint32_t ni_host_tx_rings;
  std::uint32_t ni_host_rx_rings;
  std::uint32_t ni_spare1[3];
  std::int64_t* ring_ofs() { return reinterpret_cast<std::int64_t*>(this + 1); }
};
static_assert(sizeof(If) == 56);

struct Header {
  std::uint16_t nr_version;
  std::uint16_t nr_reqtype;
  std::uint32_t nr_reserved;
  char nr_name[kNameBytes];
  std::uint64_t nr_options;
  std::uint64_t nr_body;
};
static_assert(sizeof(Header) == 88);

struct OptionHeader {
  std::uint64_t nro_next;
  std::uint32_t nro_reqtype;
  std::uint32_t nro_status;
  std::uint64_t nro_size;
};
static_assert(sizeof(OptionHeader) == 24);

struct Register {
  std::uint64_t nr_offset;
  std::uint64_t nr_memsize;
  std::uint32_t nr_tx_slots;
  std::uint32_t nr_rx_slots;
  std::uint16_t nr_tx_rings;
  std::uint16_t nr_rx_rings;
  std::uint16_t nr_host_tx_rings;
  std::uint16_t nr_host_rx_rings;
  std::uint16_t nr_mem_id;
  std::uint16_t nr_ringid;
  std::uint32_t nr_mode;
  std::uint32_t nr_extra_bufs;
  std::uint64_t nr_flags;
};
static_assert(sizeof(Register) == 56);

struct PortInfo {
  std::uint64_t nr_memsize;
  std::uint32_t nr_tx_slots;
  std::uint32_t nr_rx_slots;
  std::uint16_t nr_tx_rings;
  std::uint16_t nr_rx_rings;
  std::uint16_t nr_host_tx_rings;
  std::uint16_t nr_host_rx_rings;
  std::uint16_t nr_mem_id;
  std::uint16_t pad[3];
};
static_assert(sizeof(PortInfo) == 32);

struct ValeAttach {
  Register reg;
  std::uint32_t port_index;
  std::uint32_t pad1;
};
struct ValeDetach {
  std::uint32_t port_index;
  std::uint32_t pad1;
};
struct ValeList {
  std::uint16_t nr_bridge_idx;
  std::uint16_t pad1;
  std::uint32_t nr_port_idx;
};
struct PortHdr {
  std::uint32_t nr_hdr_len;
  std::uint32_t pad1;
};
struct ValeNewif {
  std::uint32_t nr_tx_slots;
  std::uint32_t nr_rx_slots;
  std::uint16_t nr_tx_rings;
  std::uint16_t nr_rx_rings;
  std::uint16_t nr_mem_id;
  std::uint16_t pad1;
};
struct ValePolling {
  std::uint32_t nr_mode;
  std::uint32_t nr_first_cpu_id;
  std::uint32_t nr_num_polling_cpus;
  std::uint32_t pad1;
};
struct KloopStart {
  std::uint32_t sleep_us;
  std::uint32_t pad1;
};
struct PoolsInfo {
  std::uint64_t nr_memsize;
  std::uint16_t nr_mem_id;
  std::uint16_t pad1[3];
  std::uint64_t nr_if_pool_offset;
  std::uint32_t nr_if_pool_objtotal;
  std::uint32_t nr_if_pool_objsize;
  std::uint64_t nr_ring_pool_offset;
  std::uint32_t nr_ring_pool_objtotal;
  std::uint32_t nr_ring_pool_objsize;
  std::uint64_t nr_buf_pool_offset;
  std::uint32_t nr_buf_pool_objtotal;
  std::uint32_t nr_buf_pool_objsize;
};
static_assert(sizeof(ValeAttach) == 64 && sizeof(ValeNewif) == 16 && sizeof(PoolsInfo) == 64);

}  // namespace ringway::netmap::abi
