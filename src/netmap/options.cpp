#include "netmap/options.h"

#include <cerrno>
#include <cstring>

#include "netmap/request.h"

namespace ringway::netmap {
namespace {

constexpr std::size_t kHeader = sizeof(abi::OptionHeader);
constexpr std::size_t kKernelBuffer = 4208;
constexpr std::size_t kBufferStart = 16 + 48;

std::size_t payload_of(const abi::OptionHeader& header) {
  switch (header.nro_reqtype) {
    case abi::kOptExtmem:
      return sizeof(abi::OptExtmem) - kHeader;
    case abi::kOptKloopEventfds:
      return header.nro_size >= kHeader ? header.nro_size - kHeader : 0;
    case abi::kOptCsb:
      return sizeof(abi::OptCsb) - kHeader;
    case abi::kOptKloopMode:
      return sizeof(abi::OptKloopMode) - kHeader;
    case abi::kOptOffsets:
      return sizeof(abi::OptOffsets) - kHeader;
    default:
      return 0;
  }
}

}  // namespace

OptionList::Entry* OptionList::entry_of(std::uint32_t type) {
  for (Entry& entry : entries_) {
    if (entry.header().nro_reqtype == type) return &entry;
  }
  return nullptr;
}

int OptionList::add(std::uint64_t address, const abi::OptionHeader& header) {
  Entry entry{};
  entry.address = address;
  entry.header() = header;
  entry.header().nro_status = 0;
  entry.payload = payload_of(header);
  const std::uint32_t type = header.nro_reqtype;
  Entry* earlier = type < abi::kOptMax ? entry_of(type) : nullptr;
  const bool wrong = type == 0 || earlier != nullptr;
  if (wrong) entry.header().nro_status = EINVAL;
  if (earlier != nullptr) earlier->header().nro_status = EINVAL;
  total_ += kHeader + entry.payload;
  copied_ += 8 + kHeader + entry.payload;
  if (header.nro_size > abi::kMaxRequestBytes || total_ > abi::kMaxRequestBytes ||
      copied_ > kKernelBuffer) {
    endless_ = true;
    return EMSGSIZE;
  }
  if (!wrong && entry.payload != 0 &&
      !copy_in(entry.words.data() + kHeader / 8, address + kHeader, entry.payload)) {
    return EFAULT;
  }
  entries_.push_back(entry);
  return wrong ? EINVAL : 0;
}

int OptionList::read(std::uint64_t first, std::size_t body_bytes) {
  total_ = body_bytes;
  copied_ = kBufferStart + body_bytes;
  std::uint64_t address = first;
  while (address != 0) {
    abi::OptionHeader header{};
    if (!copy_in(&header, address, sizeof header)) return EFAULT;
    if (const int failed = add(address, header); failed != 0) return failed;
    address = header.nro_next;
  }
  for (Entry& entry : entries_) entry.header().nro_status = EOPNOTSUPP;
  return 0;
}

void OptionList::write_back(bool succeeded) {
  if (endless_) return;
  for (Entry& entry : entries_) {
    const abi::OptionHeader& header = entry.header();
    copy_out(entry.address + offsetof(abi::OptionHeader, nro_status), &header.nro_status,
             sizeof header.nro_status);
    if (succeeded && header.nro_status == 0 && entry.payload != 0) {
      copy_out(entry.address + kHeader, entry.words.data() + kHeader / 8, entry.payload);
    }
  }
}

bool OptionList::any_left() const {
  for (Entry entry : entries_) {
    if (entry.header().nro_status == EOPNOTSUPP) return true;
  }
  return false;
}

}  // namespace ringway::netmap
