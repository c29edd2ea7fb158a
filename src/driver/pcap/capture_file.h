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

/// Which way a captured frame went; pcapng keeps it.
enum class CaptureWay : std::uint8_t { kUnknown, kIn, kOut };

struct CaptureOptions {
  /// Unix time of the Instant 0, in nanoseconds.
  std::int64_t epoch_ns = 0;
  /// Only so many bytes of each frame are kept.
  std::uint32_t snap_bytes = 262144;
  /// pcapng instead of pcap: with the interface's name, the way of each frame, and drop counts.
  /// create() turns it on for files whose name ends in ".pcapng".
  bool next_generation = false;
  std::string interface = "ringway";
};

/// A capture file that is being written: pcap (draft-ietf-opsawg-pcap, 4 and 5) or pcapng
/// (draft-ietf-opsawg-pcapng, 4) with Ethernet frames and nanoseconds, for wireshark and tcpdump.
/// Writes its own format and makes direct system calls, so that it can live in any program
/// (docs/decisions/0001). One thread at a time.
class CaptureFile {
 public:
  /// Makes or empties the file, readable by its owner only.
  static base::Result<CaptureFile> create(const std::string& path, const CaptureOptions& options);
  CaptureFile(CaptureFile&&) = default;
  CaptureFile& operator=(CaptureFile&&) = default;
  ~CaptureFile() { finish(); }

  /// Begins a record for a frame of `length` bytes; its bytes follow by add().
  void begin(base::Instant now, std::size_t length, CaptureWay way = CaptureWay::kUnknown);
  void add(std::span<const std::byte> bytes);
  /// A whole frame in one piece.
  void write(base::Instant now, std::span<const std::byte> frame,
             CaptureWay way = CaptureWay::kUnknown) {
    begin(now, frame.size(), way);
    add(frame);
  }

  /// How much is buffered; drop() takes back what came after such a mark, if nothing was flushed
  /// since.
  std::size_t mark() const { return buffer_.size(); }
  void drop(std::size_t mark) {
    buffer_.resize(mark);
    room_ = 0;
    --frames_;
  }

  /// Frames that went by without getting into the file, for the statistics at its end (pcapng).
  void set_missed(std::uint64_t frames) { missed_ = frames; }

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
  void begin_block(std::uint32_t type, std::uint32_t length);
  void write_section();
  void end_packet();
  void finish();

  std::size_t room_ = 0;            ///< bytes that the current record still keeps
  std::uint32_t block_length_ = 0;  ///< pcapng: of the current packet
  std::uint32_t padding_ = 0;
  CaptureWay way_ = CaptureWay::kUnknown;
  std::int64_t last_ns_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t missed_ = 0;
  bool failed_ = false;
};

}  // namespace ringway::driver
