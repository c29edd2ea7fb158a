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

template <typename T>
void append(std::vector<std::byte>& to, const T& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

base::Result<CaptureFile> CaptureFile::create(const std::string& path,
                                              const CaptureOptions& options) {
  base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return base::fail_errno(fmt::format("cannot write the capture {}", path));
  CaptureFile file(std::move(fd), options);
  FileHeader header;
  header.snap_bytes = options.snap_bytes;
  append(file.buffer_, header);
  file.flush();
  if (file.failed_) return base::fail_errno(fmt::format("cannot write the capture {}", path));
  return file;
}

void CaptureFile::begin(base::Instant now, std::size_t length) {
  const std::int64_t ns = std::max<std::int64_t>(options_.epoch_ns + now.ns, 0);
  room_ = std::min<std::size_t>(length, options_.snap_bytes);
  append(buffer_,
         RecordHeader{static_cast<std::uint32_t>(ns / kSecond),
                      static_cast<std::uint32_t>(ns % kSecond), static_cast<std::uint32_t>(room_),
                      static_cast<std::uint32_t>(length)});
}

void CaptureFile::add(std::span<const std::byte> bytes) {
  const auto kept = bytes.first(std::min(bytes.size(), room_));
  buffer_.insert(buffer_.end(), kept.begin(), kept.end());
  room_ -= kept.size();
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
