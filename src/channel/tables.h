#pragma once

#include <sys/mman.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

#include "ringway/operation.h"

namespace ringway::channel {

/// Zeroed memory for `count` objects, of which only those that are used cost pages.
template <typename T>
class SparseArray {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  explicit SparseArray(std::size_t count) : bytes_(count * sizeof(T)) {
    void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    items_ = p == MAP_FAILED ? nullptr : static_cast<T*>(p);
  }
  ~SparseArray() {
    if (items_ != nullptr) munmap(items_, bytes_);
  }
  SparseArray(const SparseArray&) = delete;
  SparseArray& operator=(const SparseArray&) = delete;

  bool valid() const { return items_ != nullptr; }
  T& operator[](std::size_t index) { return items_[index]; }

 private:
  std::size_t bytes_;
  T* items_;
};

/// What a handle names.
enum class Role : std::uint8_t { kNone, kListener, kConnecting, kStream };

/// A first-in first-out list of waiting operations, by index.
struct OperationList {
  std::uint32_t head;
  std::uint32_t tail;
  bool empty() const { return head == 0; }
};

/// The channel's half of a socket, found by the socket's index, which is the handle's. All zero:
/// nothing.
struct Line {
  std::uint32_t generation;
  std::uint32_t object;  ///< tcp connection or listener
  Role role;
  bool listed;               ///< in the ready list
  OperationList input;       ///< accept, connect, read, lend
  OperationList output;      ///< write, half-close
  std::uint32_t next_ready;  ///< in the ready list; 0: last
};

/// An operation that stands or waits.
struct Waiting {
  std::uint64_t user_data;
  std::byte* data;
  std::uint32_t length;
  std::uint32_t done;  ///< bytes of a write that are taken
  std::uint32_t next;
  Operation operation;
  std::uint8_t mode;
};

/// Waiting operations of all lines: fixed capacity, linked by index, last freed first used.
class WaitingPool {
 public:
  explicit WaitingPool(std::uint32_t capacity) : capacity_(capacity), items_(capacity + 1) {}

  bool valid() const { return items_.valid(); }
  std::uint32_t in_use() const { return in_use_; }
  Waiting& operator[](std::uint32_t index) { return items_[index]; }

  /// Appends to `list`; nullptr when the pool is empty.
  Waiting* append(OperationList& list, const Submission& s) {
    std::uint32_t index = free_;
    if (index != 0) {
      free_ = items_[index].next;
    } else {
      if (high_ == capacity_) return nullptr;
      index = ++high_;
    }
    ++in_use_;
    Waiting& w = items_[index];
    w = {s.user_data, s.data, s.length, 0, 0, s.operation, s.mode};
    if (list.tail != 0) {
      items_[list.tail].next = index;
    } else {
      list.head = index;
    }
    list.tail = index;
    return &w;
  }
  void pop(OperationList& list) {
    const std::uint32_t index = list.head;
    list.head = items_[index].next;
    if (list.head == 0) list.tail = 0;
    items_[index].next = free_;
    free_ = index;
    --in_use_;
  }

 private:
  std::uint32_t capacity_;
  std::uint32_t in_use_ = 0;
  std::uint32_t free_ = 0;
  std::uint32_t high_ = 0;
  SparseArray<Waiting> items_;
};

/// Completions that found no place in the user's array yet.
class Backlog {
 public:
  explicit Backlog(std::uint32_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), items_(std::size_t{mask_} + 1) {}

  bool valid() const { return items_.valid(); }
  std::uint32_t size() const { return tail_ - head_; }
  std::uint32_t capacity() const { return mask_ + 1; }
  /// Precondition: size() < capacity().
  void push(const Completion& c) { items_[tail_++ & mask_] = c; }
  const Completion& front() { return items_[head_ & mask_]; }
  void pop() { ++head_; }

 private:
  std::uint32_t mask_;
  std::uint32_t head_ = 0;
  std::uint32_t tail_ = 0;
  SparseArray<Completion> items_;
};

}  // namespace ringway::channel
