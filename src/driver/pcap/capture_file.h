#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace ringway::driver {

struct CaptureOptions {
  /// Unix time of the Instant 0, in nanoseconds.
  std::int64_t epoch_ns = 0;
  /// Only so many bytes of each frame are kept.
  std::uint32_t snap_bytes = 262144;
};

/// A capture file that is being written: pcap with Ethernet frames and nanoseconds
/// (draft-ietf-opsawg-pcap, 4 and 5), for wireshark and tcpdump. Writes its own format and makes
/// direct system calls, so that it can live in any program (docs/decisions/0001). One thread at a
/// time.
class CaptureFile {
 public:
  /// Makes or empties the file, readable by its owner only.
  static base::Result<CaptureFile> create(const std::string& path, const CaptureOptions& options);
  CaptureFile(CaptureFile&&) = default;
  CaptureFile& operator=(CaptureFile&&) = default;
  ~CaptureFile() { flush(); }

  /// Begins a record for a frame of `length` bytes; its bytes follow by add().
  void begin(base::Instant now, std::size_t length);
  void add(std::span<const std::byte> bytes);
  /// A whole frame in one piece.
  void write(base::Instant now, std::span<const std::byte> frame) {
    begin(now, frame.size());
    add(frame);
  }

  /// How much is buffered; drop() takes back what came after such a mark, if nothing was flushed
  /// since.
  std::size_t mark() const { return buffer_.size(); }
  void drop(std::size_t mark) { buffer_.resize(mark); }

  /// Writes the buffer out. A file that cannot be written any more (disk full) is given up, and
  /// `failed` from then on: the capture ends, the program goes on.
  void flush();
  /// Worth a flush().
  bool filled() const { return buffer_.size() >= kFlushBytes; }
  bool failed() const { return failed_; }

 private:
  static constexpr std::size_t kFlushBytes = 1 << 18;

  CaptureFile(base::UniqueFd fd, const CaptureOptions& options)
      : fd_(std::move(fd)), options_(options) {
    buffer_.reserve(2 * kFlushBytes);
  }

  base::UniqueFd fd_;
  CaptureOptions options_;
  std::vector<std::byte> buffer_;
  std::size_t room_ = 0;  ///< bytes that the current record still keeps
  bool failed_ = false;
};

}  // namespace ringway::driver
