#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "mem/frame_pool.h"
#include "mem/region.h"
#include "mem/slab.h"

namespace ringway::mem {

/// One piece of queued data: bytes in the cell itself, or a reference to (part of) a frame.
///
///   0      4       8        12       16               24                       256
///   +------+-------+--------+--------+----------------+-------------------------+
///   | next | frame | offset | length | aux (owner's)  | data (if frame is none) |
///   +------+-------+--------+--------+----------------+-------------------------+
struct alignas(64) Cell {
  static constexpr std::uint32_t kInlineBytes = 232;

  std::uint32_t next;    ///< index of the next cell of the queue; 0: last
  FrameRef frame;        ///< none: the bytes are in `data`
  std::uint32_t offset;  ///< of the first byte not yet read, in `data` or in the frame's slot
  std::uint32_t length;  ///< bytes not yet read
  std::uint64_t aux;     ///< free for the queue's owner (a sequence number, a datagram's source)
  std::array<std::byte, kInlineBytes> data;
};
static_assert(sizeof(Cell) == 256);

constexpr std::uint32_t kMaxCells = 1U << 17;
using CellSlab = Slab<Cell, kMaxCells>;

/// Cells, private frames and mapped Regions of one stack: what a ByteQueue works with.
/// Process-local view.
struct Buffers {
  CellSlab* cells = nullptr;
  FramePool* frames = nullptr;  ///< the arena's own pool, Region 0
  const RegionTable* regions = nullptr;

  std::byte* bytes(Cell& cell) const {
    return cell.frame ? regions->data(cell.frame, cell.offset) : cell.data.data() + cell.offset;
  }
  void free_cell(std::uint32_t index) const {
    const FrameRef frame = (*cells)[index].frame;
    if (frame) regions->release(frame);
    cells->free(index);
  }
};

/// A queue of bytes in cells. Plain data (lives in an arena); all zero is empty. 12 bytes.
struct ByteQueue {
  std::uint32_t head = 0;
  std::uint32_t tail = 0;
  std::uint32_t bytes = 0;

  bool empty() const { return bytes == 0 && head == 0; }

  /// Copies `data` to the end, into the tail cell's room first. Returns the bytes taken; fewer than
  /// asked only when cells or frames have run out.
  std::uint32_t append(const Buffers& b, std::span<const std::byte> data);
  /// Takes over `frame`, whose bytes [offset, offset + length) are queued without a copy.
  /// False when no cell is left: the caller keeps the frame.
  bool append_frame(const Buffers& b, FrameRef frame, std::uint32_t offset, std::uint32_t length);
  /// Copies out and frees up to out.size() bytes from the front; returns how many.
  std::uint32_t read(const Buffers& b, std::span<std::byte> out);
  /// Copies [from, from + out.size()) without taking it; returns how many there were.
  std::uint32_t peek(const Buffers& b, std::uint32_t from, std::span<std::byte> out) const;
  /// Frees `count` bytes from the front (at most all).
  void drop(const Buffers& b, std::uint32_t count);
  /// Frees everything.
  void clear(const Buffers& b) {
    while (head != 0) pop_cell(b);
    bytes = 0;
  }
  /// Appends an already filled cell (its `next` is overwritten).
  void push_cell(const Buffers& b, std::uint32_t index) {
    Cell& cell = (*b.cells)[index];
    cell.next = 0;
    if (tail != 0) {
      (*b.cells)[tail].next = index;
    } else {
      head = index;
    }
    tail = index;
    bytes += cell.length;
  }
  /// Unlinks and frees the first cell.
  void pop_cell(const Buffers& b) {
    const std::uint32_t index = head;
    const Cell& cell = (*b.cells)[index];
    bytes -= cell.length;
    head = cell.next;
    if (head == 0) tail = 0;
    b.free_cell(index);
  }
};

}  // namespace ringway::mem
