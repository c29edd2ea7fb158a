#include "mem/byte_queue.h"

namespace ringway::mem {
namespace {

/// Room behind the bytes of a cell that is private to the stack; a peer's frame has none.
std::uint32_t room_behind(const Buffers& b, const Cell& cell) {
  if (!cell.frame) return Cell::kInlineBytes - cell.offset - cell.length;
  if (cell.frame.region() != 0) return 0;
  return b.frames->slot_size() - cell.offset - cell.length;
}

/// A new empty cell for `wanted` bytes: with a frame if they do not fit inline and one can be had.
std::uint32_t make_cell(const Buffers& b, std::size_t wanted) {
  const std::uint32_t index = b.cells->allocate_raw();
  if (index == 0) return 0;
  Cell& cell = (*b.cells)[index];
  cell.next = 0;
  cell.frame = {};
  cell.offset = 0;
  cell.length = 0;
  cell.aux = 0;
  if (wanted > Cell::kInlineBytes) {
    const std::uint32_t slot = b.frames->allocate();
    if (slot != FramePool::kNone) cell.frame = FrameRef::make(0, slot);
  }
  return index;
}

}  // namespace

std::uint32_t ByteQueue::append(const Buffers& b, std::span<const std::byte> data) {
  std::size_t done = 0;
  if (tail != 0) {
    Cell& cell = (*b.cells)[tail];
    const auto n = std::min<std::size_t>(room_behind(b, cell), data.size());
    if (n != 0) {
      std::memcpy(b.bytes(cell) + cell.length, data.data(), n);
      cell.length += static_cast<std::uint32_t>(n);
      done = n;
    }
  }
  while (done < data.size()) {
    const std::uint32_t index = make_cell(b, data.size() - done);
    if (index == 0) break;
    Cell& cell = (*b.cells)[index];
    const auto n = std::min<std::size_t>(room_behind(b, cell), data.size() - done);
    std::memcpy(b.bytes(cell), data.data() + done, n);
    push_cell(b, index);
    cell.length = static_cast<std::uint32_t>(n);
    done += n;
  }
  bytes += static_cast<std::uint32_t>(done);
  return static_cast<std::uint32_t>(done);
}

bool ByteQueue::append_frame(const Buffers& b, FrameRef frame, std::uint32_t offset,
                             std::uint32_t length) {
  const std::uint32_t index = b.cells->allocate_raw();
  if (index == 0) return false;
  Cell& cell = (*b.cells)[index];
  cell.frame = frame;
  cell.offset = offset;
  cell.length = length;
  cell.aux = 0;
  push_cell(b, index);
  return true;
}

std::uint32_t ByteQueue::read(const Buffers& b, std::span<std::byte> out) {
  std::size_t done = 0;
  while (head != 0 && done < out.size()) {
    Cell& cell = (*b.cells)[head];
    const auto n =
        static_cast<std::uint32_t>(std::min<std::size_t>(cell.length, out.size() - done));
    std::memcpy(out.data() + done, b.bytes(cell), n);
    done += n;
    cell.offset += n;
    cell.length -= n;
    bytes -= n;
    if (cell.length == 0) pop_cell(b);
  }
  return static_cast<std::uint32_t>(done);
}

std::uint32_t ByteQueue::peek(const Buffers& b, std::uint32_t from,
                              std::span<std::byte> out) const {
  std::size_t done = 0;
  for (std::uint32_t at = head; at != 0 && done < out.size();) {
    Cell& cell = (*b.cells)[at];
    at = cell.next;
    if (from >= cell.length) {
      from -= cell.length;
      continue;
    }
    const auto n = std::min<std::size_t>(cell.length - from, out.size() - done);
    std::memcpy(out.data() + done, b.bytes(cell) + from, n);
    done += n;
    from = 0;
  }
  return static_cast<std::uint32_t>(done);
}

void ByteQueue::drop(const Buffers& b, std::uint32_t count) {
  while (head != 0 && count > 0) {
    Cell& cell = (*b.cells)[head];
    const std::uint32_t n = std::min(cell.length, count);
    cell.offset += n;
    cell.length -= n;
    bytes -= n;
    count -= n;
    if (cell.length == 0) pop_cell(b);
  }
}

}  // namespace ringway::mem
