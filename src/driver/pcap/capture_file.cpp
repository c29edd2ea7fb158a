#include "driver/pcap/capture_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/sys.h"

namespace ringway::driver {
namespace {

constexpr std::uint32_t kMagicNanoseconds = 0xa1b23c4d;
constexpr std::uint32_t kEthernet = 1;
constexpr std::int64_t kSecond = 1'000'000'000;

// In the byte order of the machine, as the magic number tells the reader.
struct FileHeader {
  std::uint32_t magic = kMagicNanoseconds;
  std::uint16_t major = 2;
  std::uint16_t minor = 4;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
  std::uint32_t snap_bytes = 0;
  std::uint32_t link_type = kEthernet;
};
static_assert(sizeof(FileHeader) == 24);

struct RecordHeader {
  std::uint32_t seconds;
  std::uint32_t nanoseconds;
  std::uint32_t captured;
  std::uint32_t length;
};
static_assert(sizeof(RecordHeader) == 16);

// draft-ietf-opsawg-pcapng: a block is type, length, body, length again; options are code, length,
// value up to four bytes, and end with a zero.
constexpr std::uint32_t kSection = 0x0A0D0D0A;
constexpr std::uint32_t kInterface = 1;
constexpr std::uint32_t kStatistics = 5;
constexpr std::uint32_t kPacket = 6;
constexpr std::uint32_t kByteOrder = 0x1A2B3C4D;
constexpr std::uint16_t kOptionName = 2;        // of an interface
constexpr std::uint16_t kOptionResolution = 9;  // of an interface: 10^-n s
constexpr std::uint16_t kOptionFlags = 2;       // of a packet: 1 came in, 2 went out
constexpr std::uint16_t kOptionReceived = 4;    // of statistics
constexpr std::uint16_t kOptionDropped = 5;
constexpr std::uint32_t kBlockBytes = 12;  // type and both lengths
constexpr std::uint32_t kPacketBytes = kBlockBytes + 20 + 12;

constexpr std::uint32_t padded(std::size_t length) {
  return static_cast<std::uint32_t>((length + 3) / 4 * 4);
}

template <typename T>
void append(std::vector<std::byte>& to, const T& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_option(std::vector<std::byte>& to, std::uint16_t code,
                   std::span<const std::byte> value) {
  append(to, code);
  append(to, static_cast<std::uint16_t>(value.size()));
  to.insert(to.end(), value.begin(), value.end());
  to.resize(to.size() + padded(value.size()) - value.size());
}

void append_time(std::vector<std::byte>& to, std::int64_t ns) {
  append(to, static_cast<std::uint32_t>(ns >> 32));
  append(to, static_cast<std::uint32_t>(ns));
}

}  // namespace

base::Result<CaptureFile> CaptureFile::create(const std::string& path,
                                              const CaptureOptions& options) {
  base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return base::fail_errno(fmt::format("cannot write the capture {}", path));
  CaptureFile file(std::move(fd), options);
  file.options_.next_generation |= path.ends_with(".pcapng");
  if (file.options_.next_generation) {
    file.write_section();
  } else {
    FileHeader header;
    header.snap_bytes = options.snap_bytes;
    append(file.buffer_, header);
  }
  file.flush();
  if (file.failed_) return base::fail_errno(fmt::format("cannot write the capture {}", path));
  return file;
}

void CaptureFile::begin_block(std::uint32_t type, std::uint32_t length) {
  append(buffer_, type);
  append(buffer_, length);
}

/// The section header, and its one interface.
void CaptureFile::write_section() {
  constexpr std::uint32_t kSectionBytes = kBlockBytes + 16;
  begin_block(kSection, kSectionBytes);
  append(buffer_, kByteOrder);
  append(buffer_, std::uint32_t{1});  // version 1.0
  append(buffer_, std::int64_t{-1});  // the length of the section is not known
  append(buffer_, kSectionBytes);
  const auto name = std::as_bytes(std::span(options_.interface));
  const std::uint32_t length = kBlockBytes + 8 + 4 + padded(name.size()) + 8 + 4;
  begin_block(kInterface, length);
  append(buffer_, kEthernet);
  append(buffer_, options_.snap_bytes);
  append_option(buffer_, kOptionName, name);
  constexpr std::byte kNanoseconds{9};
  append_option(buffer_, kOptionResolution, {&kNanoseconds, 1});
  append(buffer_, std::uint32_t{0});
  append(buffer_, length);
}

void CaptureFile::begin(base::Instant now, std::size_t length, CaptureWay way) {
  const std::int64_t ns = std::max<std::int64_t>(options_.epoch_ns + now.ns, 0);
  room_ = std::min<std::size_t>(length, options_.snap_bytes);
  const auto kept = static_cast<std::uint32_t>(room_);
  ++frames_;
  if (!options_.next_generation) {
    append(buffer_, RecordHeader{static_cast<std::uint32_t>(ns / kSecond),
                                 static_cast<std::uint32_t>(ns % kSecond), kept,
                                 static_cast<std::uint32_t>(length)});
    return;
  }
  last_ns_ = ns;
  way_ = way;
  padding_ = padded(room_) - kept;
  block_length_ = kPacketBytes + padded(room_);
  begin_block(kPacket, block_length_);
  append(buffer_, std::uint32_t{0});  // the interface
  append_time(buffer_, ns);
  append(buffer_, kept);
  append(buffer_, static_cast<std::uint32_t>(length));
  if (room_ == 0) end_packet();
}

void CaptureFile::add(std::span<const std::byte> bytes) {
  const auto kept = bytes.first(std::min(bytes.size(), room_));
  buffer_.insert(buffer_.end(), kept.begin(), kept.end());
  room_ -= kept.size();
  if (options_.next_generation && room_ == 0 && !kept.empty()) end_packet();
}

void CaptureFile::end_packet() {
  buffer_.resize(buffer_.size() + padding_);
  const auto flags = static_cast<std::uint32_t>(way_);
  append_option(buffer_, kOptionFlags, std::as_bytes(std::span(&flags, 1)));
  append(buffer_, std::uint32_t{0});
  append(buffer_, block_length_);
}

/// The last words: how many frames there were, and how many are missing.
void CaptureFile::finish() {
  if (options_.next_generation && fd_) {
    constexpr std::uint32_t kLength = kBlockBytes + 12 + 2 * 12 + 4;
    begin_block(kStatistics, kLength);
    append(buffer_, std::uint32_t{0});  // the interface
    append_time(buffer_, last_ns_);
    append_option(buffer_, kOptionReceived, std::as_bytes(std::span(&frames_, 1)));
    append_option(buffer_, kOptionDropped, std::as_bytes(std::span(&missed_, 1)));
    append(buffer_, std::uint32_t{0});
    append(buffer_, kLength);
  }
  flush();
}

void CaptureFile::flush() {
  std::span<const std::byte> left(buffer_);
  while (!left.empty() && fd_ && !failed_) {
    const ssize_t n = base::sys::write(fd_.get(), left.data(), left.size());
    if (n < 0 && errno != EINTR) failed_ = true;
    if (n > 0) left = left.subspan(static_cast<std::size_t>(n));
  }
  buffer_.clear();
}

}  // namespace ringway::driver
