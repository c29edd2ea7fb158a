#include "dump/pcapng.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <span>

#include "base/sys.h"

namespace ringway::dump {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kStatistics = 5;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint16_t kEthernet = 1;
constexpr std::uint16_t kEndOfOptions = 0;

// epb_flags (4.3.1).
constexpr std::uint32_t kInbound = 1;
constexpr std::uint32_t kOutbound = 2;
constexpr std::uint32_t kChecksumNotReady = 1U << 9;
constexpr std::uint32_t kChecksumValid = 1U << 10;
constexpr std::uint32_t kSegmentationLeft = 1U << 11;

}  // namespace

base::Result<PcapngFile> PcapngFile::create(const std::string& path) {
  base::UniqueFd fd(path == "-"
                        ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                        : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return base::fail_errno(fmt::format("cannot write the capture {}", path));
  PcapngFile file(std::move(fd));
  const std::size_t block = file.begin_block(kSectionHeader);
  file.word(0x1a2b3c4d);
  file.half(1);
  file.half(0);
  file.word(UINT32_MAX);  // length of the section: not known
  file.word(UINT32_MAX);
  constexpr std::string_view kWho = "ringway dump";
  file.option(4, kWho.data(), kWho.size());
  file.option(kEndOfOptions, nullptr, 0);
  file.end_block(block);
  if (auto done = file.flush(); !done) return tl::unexpected(std::move(done).error());
  return file;
}

void PcapngFile::add_interface(std::string_view name, std::uint32_t snap_bytes) {
  const std::size_t block = begin_block(kInterface);
  half(kEthernet);
  half(0);
  word(snap_bytes);
  option(2, name.data(), name.size());
  const std::uint8_t nanoseconds = 9;
  option(9, &nanoseconds, 1);
  option(kEndOfOptions, nullptr, 0);
  end_block(block);
}

void PcapngFile::write(const Frame& frame, std::uint32_t interface, bool checksums_right) {
  const mem::CaptureRecord& record = frame.record;
  const bool out = record.way == mem::CaptureWay::kOut;
  std::uint32_t flags = out ? kOutbound : kInbound;
  if (!checksums_right) {
    flags |= out ? kChecksumNotReady : kChecksumValid;
  } else if (!out && (record.flags & mem::kFrameCsumOk) != 0) {
    flags |= kChecksumValid;
  }
  if (out && record.gso_size != 0) flags |= kSegmentationLeft;
  const std::size_t block = begin_block(kEnhancedPacket);
  word(interface);
  const auto time = static_cast<std::uint64_t>(frame.unix_ns);
  word(static_cast<std::uint32_t>(time >> 32));
  word(static_cast<std::uint32_t>(time));
  word(static_cast<std::uint32_t>(frame.bytes.size()));
  word(record.length);
  bytes(frame.bytes.data(), frame.bytes.size());
  option(2, &flags, sizeof flags);
  option(kEndOfOptions, nullptr, 0);
  end_block(block);
}

void PcapngFile::add_statistics(std::uint32_t interface, std::uint64_t received,
                                std::uint64_t dropped, std::int64_t unix_ns) {
  const std::size_t block = begin_block(kStatistics);
  word(interface);
  const auto time = static_cast<std::uint64_t>(unix_ns);
  word(static_cast<std::uint32_t>(time >> 32));
  word(static_cast<std::uint32_t>(time));
  option(4, &received, sizeof received);
  option(5, &dropped, sizeof dropped);
  option(kEndOfOptions, nullptr, 0);
  end_block(block);
}

base::Result<void> PcapngFile::flush() {
  std::span<const std::byte> left(buffer_);
  while (!left.empty()) {
    const ssize_t n = base::sys::write(fd_.get(), left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::fail_errno("the capture cannot be written");
    left = left.subspan(static_cast<std::size_t>(n));
  }
  buffer_.clear();
  return {};
}

void PcapngFile::bytes(const void* data, std::size_t size) {
  const std::size_t at = buffer_.size();
  buffer_.resize(at + (size + 3) / 4 * 4);  // padded with zeros to 32 bits
  if (size != 0) std::memcpy(&buffer_[at], data, size);
}

void PcapngFile::word(std::uint32_t value) { bytes(&value, sizeof value); }

void PcapngFile::half(std::uint16_t value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  buffer_.insert(buffer_.end(), raw.begin(), raw.end());
}

void PcapngFile::option(std::uint16_t code, const void* data, std::size_t size) {
  half(code);
  half(static_cast<std::uint16_t>(size));
  bytes(data, size);
}

std::size_t PcapngFile::begin_block(std::uint32_t type) {
  const std::size_t begin = buffer_.size();
  word(type);
  word(0);
  return begin;
}

void PcapngFile::end_block(std::size_t begin) {
  const auto length = static_cast<std::uint32_t>(buffer_.size() + 4 - begin);
  word(length);
  std::memcpy(&buffer_[begin + 4], &length, sizeof length);
}

}  // namespace ringway::dump
