#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "dump/frame.h"

namespace ringway::dump {

/// A capture file with one interface per program or port (draft-ietf-opsawg-pcapng): section
/// header, interface descriptions as they turn up, enhanced packets with their direction and what
/// is known of their checksums, and at the end statistics.
class PcapngFile {
 public:
  /// "-" is stdout. The file is made or emptied, readable by its owner only.
  static base::Result<PcapngFile> create(const std::string& path);
  PcapngFile(PcapngFile&&) = default;
  PcapngFile& operator=(PcapngFile&&) = default;

  /// Interfaces are numbered from 0 in the order of these calls.
  void add_interface(std::string_view name, std::uint32_t snap_bytes);
  /// `checksums_right`: what complete_checksums() said.
  void write(const Frame& frame, std::uint32_t interface, bool checksums_right);
  void add_statistics(std::uint32_t interface, std::uint64_t received, std::uint64_t dropped,
                      std::int64_t unix_ns);
  /// Writes the buffer out. Errors: the file cannot be written any more.
  base::Result<void> flush();

 private:
  explicit PcapngFile(base::UniqueFd fd) : fd_(std::move(fd)) {}
  void word(std::uint32_t value);
  void half(std::uint16_t value);
  void bytes(const void* data, std::size_t size);
  void option(std::uint16_t code, const void* data, std::size_t size);
  /// Begins a block; end_block() fills in its length at both ends.
  std::size_t begin_block(std::uint32_t type);
  void end_block(std::size_t begin);

  base::UniqueFd fd_;
  std::vector<std::byte> buffer_;
};

}  // namespace ringway::dump
