#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mem/frame_desc.h"
#include "wire/packet_view.h"

namespace ringway::bridge {

/// Fills in the transport checksum of a frame that came with kFrameCsumNeeded. `view` describes it.
void complete_checksum(std::span<std::byte> frame, const wire::PacketView& view);

/// Cuts a TCP frame into pieces of at most gso_size bytes of payload, as a device would
/// (virtio 1.2, 5.1.6.2.1): headers copied, lengths, numbers, flags and sums made anew. Holds no
/// frame itself.
class TcpCutter {
 public:
  /// `frame` must outlive this and `view` describe it: TCP, no fragment.
  TcpCutter(std::span<const std::byte> frame, const wire::PacketView& view, std::uint16_t gso_size)
      : frame_(frame), view_(view), gso_size_(gso_size) {}

  bool done() const { return begun_ && at_ >= view_.payload_length(); }
  /// Bytes of the next piece.
  std::uint32_t next_length() const;
  /// Writes the next piece, whose length is next_length(), with right checksums.
  void write(std::span<std::byte> out);

 private:
  std::span<const std::byte> frame_;
  const wire::PacketView& view_;
  std::uint16_t gso_size_;
  std::uint32_t at_ = 0;  ///< payload bytes that are done
  std::uint16_t count_ = 0;
  bool begun_ = false;
};

}  // namespace ringway::bridge
