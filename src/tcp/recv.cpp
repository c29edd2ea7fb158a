#include <cerrno>

#include "tcp/emit.h"
#include "tcp/iov.h"
#include "tcp/tcp.h"

namespace ringway::tcp {
namespace {

/// RFC 9293, 3.10.3, when the queue is empty.
Io nothing_to_read(Connection& c) {
  if (c.error != 0) {
    const Io io{0, c.error};
    c.error = 0;
    return io;
  }
  const bool end = c.state == State::kClosed || (c.flags & (kFinReceived | kReadShut)) != 0;
  return {0, end ? 0 : EAGAIN};
}

void after_read(const Context& t, std::uint32_t index, Connection& c) {
  constexpr std::uint32_t kNoMore = kFinReceived | kWindowDue;
  if ((c.flags & kNoMore) == 0 && c.state != State::kClosed && window_grew(c)) {
    t.due(index, c, kWindowDue);
  }
}

/// Copies all that is there if it is one cell of private bytes and fits: small messages. The caller
/// empties the queue.
bool take_whole_cell(const Context& t, const Connection& c, const iovec& to) {
  const std::uint32_t index = c.rx.head;
  if (index != c.rx.tail || c.rx.bytes > to.iov_len) return false;
  const mem::Cell& cell = (*t.b.cells)[index];
  if (cell.frame) return false;
  std::memcpy(to.iov_base, cell.data.data() + cell.offset, cell.length);
  t.b.cells->free(index);
  return true;
}

std::uint32_t peek(const Context& t, const Connection& c, std::span<const iovec> to) {
  std::uint32_t done = 0;
  for (const iovec& piece : to) {
    const std::uint32_t n =
        c.rx.peek(t.b, done, {static_cast<std::byte*>(piece.iov_base), piece.iov_len});
    done += n;
    if (n < piece.iov_len) break;
  }
  return done;
}

}  // namespace

Io Tcp::recv(std::uint32_t connection, std::span<const iovec> to, bool peek_only, base::Instant) {
  Connection& c = conn(connection);
  if (c.rx.bytes == 0) return nothing_to_read(c);
  if (!peek_only && to.size() == 1 && take_whole_cell(t_, c, to[0])) {
    const auto n = c.rx.bytes;
    c.rx = {};
    after_read(t_, connection, c);
    return {n, 0};
  }
  if (peek_only) return {peek(t_, c, to), 0};
  Io io;
  for (const iovec& piece : to) {
    const std::uint32_t n =
        c.rx.read(t_.b, {static_cast<std::byte*>(piece.iov_base), piece.iov_len});
    io.bytes += n;
    if (n < piece.iov_len) break;
  }
  after_read(t_, connection, c);
  return io;
}

Tcp::Loan Tcp::recv_loan(std::uint32_t connection, base::Instant) {
  Connection& c = conn(connection);
  const std::uint32_t index = c.rx.head;
  if (index == 0) return {};
  mem::Cell& cell = (*t_.b.cells)[index];
  c.rx.bytes -= cell.length;
  c.rx.head = cell.next;
  if (c.rx.head == 0) c.rx.tail = 0;
  after_read(t_, connection, c);
  return {t_.b.bytes(cell), cell.length, index};
}

void Tcp::return_loan(const Loan& loan) {
  if (loan.cell != 0) t_.b.free_cell(loan.cell);
}

std::uint32_t Tcp::readable_bytes(std::uint32_t connection) const {
  return conn(connection).rx.bytes;
}

}  // namespace ringway::tcp
