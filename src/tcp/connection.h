#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "base/seqnum.h"
#include "base/time.h"
#include "mem/byte_queue.h"
#include "tcp/options.h"

namespace ringway::tcp {

/// RFC 9293, 3.3.2. LISTEN is a Listener, not a Connection.
enum class State : std::uint8_t {
  kClosed,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
const char* name(State state);

/// Bits of Connection::flags.
enum Flag : std::uint32_t {
  // Output that is due. Input sets them, output() sends when there is room.
  kAckDue = 1U << 0,     ///< an ACK without data
  kWindowDue = 1U << 1,  ///< the window opened: an ACK that says so
  kResetDue = 1U << 2,   ///< RST, then the connection is gone
  kSynDue = 1U << 3,     ///< SYN or SYN-ACK
  kFinDue = 1U << 4,     ///< FIN as soon as all data before it is out
  kProbeDue = 1U << 5,   ///< zero-window or keepalive probe
  // Where the connection is linked.
  kInDirtyList = 1U << 6,
  kInBlockedList = 1U << 7,
  kInEventList = 1U << 8,
  kInFlowTable = 1U << 9,
  // What was agreed, and what kind of path it has.
  kReliable = 1U << 10,  ///< copy of kPathReliable
  kTimestamps = 1U << 11,
  kSackOk = 1U << 12,
  kScaleOk = 1U << 13,
  // The user's side.
  kOrphan = 1U << 14,         ///< the user has closed it: nobody reads any more
  kPassive = 1U << 15,        ///< came from a listener
  kUnaccepted = 1U << 16,     ///< in a listener's queue
  kWantWrite = 1U << 17,      ///< send() took less than asked: tell when there is room
  kReadShut = 1U << 18,       ///< shutdown(SHUT_RD)
  kFinSent = 1U << 19,        ///< our FIN is part of what lies below snd.nxt
  kFinReceived = 1U << 20,    ///< the peer's FIN was in order
  kPushAll = 1U << 21,        ///< send the rest of `tx` although it is less than a segment
  kNoDelay = 1U << 22,        ///< copy of Options::no_delay
  kCork = 1U << 23,           ///< copy of Options::cork
  kSendMore = 1U << 24,       ///< the last send() announced more (MSG_MORE)
  kRttTimed = 1U << 25,       ///< rtt_seq and rtt_start are a running measurement
  kQuickAck = 1U << 26,       ///< ACK at once: a stream starts or is out of order
  kRetransmitted = 1U << 27,  ///< something between snd.una and snd.nxt was sent twice (Karn)
};
constexpr std::uint32_t kOutputDue =
    kAckDue | kWindowDue | kResetDue | kSynDue | kFinDue | kProbeDue;

/// The timer situations of a connection: at most one of them at a time, beside a delayed ACK.
enum class TimerKind : std::uint8_t {
  kNone,        ///< nothing to wait for
  kRetransmit,  ///< something sent is not acknowledged (RFC 6298); also SYN and FIN
  kPersist,     ///< data to send, and the peer's window is closed (RFC 9293, 3.8.6.1)
  kKeepalive,   ///< idle (RFC 9293, 3.8.4)
  kClose,       ///< TIME-WAIT, or an orphan in FIN-WAIT-2
};

enum class Recovery : std::uint8_t { kOpen, kFast, kLoss };

/// SND.* of RFC 9293, 3.3.1.
struct SendSequence {
  base::SeqNum una;
  base::SeqNum nxt;
  std::uint32_t wnd;  ///< as the peer offered it last, scaled: may be used up to una + wnd
};

/// RCV.* of RFC 9293, 3.3.1. The window is `adv - nxt`: the right edge never moves back.
struct ReceiveSequence {
  base::SeqNum nxt;
  base::SeqNum adv;  ///< right edge of the window as the peer knows it
};

/// What congestion control keeps (congestion.h).
struct CongestionState {
  std::uint32_t cwnd;      ///< bytes
  std::uint32_t ssthresh;  ///< bytes
  std::uint32_t w_max;     ///< CUBIC: window before the last reduction, bytes
  std::uint32_t w_est;     ///< CUBIC: what Reno would have, bytes
  std::uint32_t k_ms;      ///< CUBIC: time to come back to w_max
  std::uint32_t acked;     ///< bytes acknowledged since cwnd grew last
  base::Instant epoch;     ///< CUBIC: start of this growth; 0: none
};

/// What HyStart++ keeps (hystart.cpp).
struct HystartState {
  base::SeqNum window_end;     ///< the round ends when this is acknowledged
  std::uint32_t last_min_us;   ///< least RTT of the round before
  std::uint32_t round_min_us;  ///< of this round
  std::uint32_t baseline_us;   ///< when conservative slow start began
  std::uint8_t samples;
  std::uint8_t conservative_rounds;  ///< 0: ordinary slow start
};

/// One TCP connection: plain data in the arena, linked by 32-bit indices.
///
///   line 0   input, output and lookup of every packet: state, key, SND and RCV, receive queue
///   line 1   the rest of what data needs: send queue, sizes, timestamps, lists
///   line 2   identity: addresses, hash, chain, socket
///   line 3   timers and round-trip times
///   line 4-5 congestion control, loss recovery, out-of-order data, options, counters
struct alignas(64) Connection {
  // --- line 0 ---
  std::uint32_t flags;  ///< Flag
  State state;
  std::uint8_t snd_scale;  ///< what the peer's window field is shifted by
  std::uint8_t rcv_scale;  ///< what ours is shifted by
  std::uint8_t is_v6;
  std::uint32_t path;  ///< index of its port::Path
  std::uint16_t local_port;
  std::uint16_t remote_port;
  std::uint32_t local_tail;  ///< last four bytes of the address as they lie: all of an IPv4 one
  std::uint32_t remote_tail;
  std::uint16_t predict;  ///< bytes 12 and 13 of a header that the fast path takes; 0: none
  std::uint16_t mss;      ///< payload of a full segment to the peer, options deducted
  std::uint32_t max_wnd;  ///< largest window the peer ever offered
  SendSequence snd;
  ReceiveSequence rcv;
  mem::ByteQueue rx;  ///< in order, not yet read

  // --- line 1 ---
  mem::ByteQueue tx;          ///< from snd.una on: not yet acknowledged, or not yet sent
  std::uint32_t snd_buffer;   ///< limit of tx.bytes
  std::uint32_t rcv_buffer;   ///< limit of rx.bytes and what the window still allows
  std::uint32_t window_step;  ///< the right edge moves by at least this much
  base::SeqNum wl1;           ///< SND.WL1
  base::SeqNum wl2;           ///< SND.WL2
  std::uint16_t rcv_mss;      ///< largest segment seen from the peer
  std::uint16_t error;        ///< errno for the user (SO_ERROR), cleared by error()
  std::uint32_t dirty_next;   ///< list of output that is due, or of blocked ones
  std::uint32_t event_next;   ///< list of news for the front end
  std::uint32_t events;       ///< readiness bits that are news
  std::uint32_t ts_recent;    ///< RFC 7323, 4.3
  std::uint32_t ts_offset;    ///< added to the clock in what we send
  std::uint32_t acked_to;     ///< RCV.NXT of the last ACK sent (Last.ACK.sent)
  std::uint32_t socket;       ///< the stack's socket; 0: none

  // --- line 2 ---
  base::IpAddress local;
  base::IpAddress remote;
  std::uint32_t flow_hash;
  std::uint32_t generation;  ///< grows with every reuse of the index
  std::uint32_t listener;    ///< of a connection that is not accepted yet
  std::uint32_t queue_next;  ///< accept queue of the listener
  base::SeqNum iss;
  base::SeqNum irs;
  std::uint32_t tx_cursor;     ///< cell of `tx` where sending goes on; 0: start at the head
  base::SeqNum tx_cursor_seq;  ///< of its first byte

  // --- line 3 ---
  base::Instant timer_at;        ///< when `timer` is due
  base::Instant delayed_ack_at;  ///< never: none
  base::Instant armed_at;        ///< where the node lies in the wheel; never: not in it
  std::uint32_t timer_next;
  std::uint32_t timer_prev;
  std::uint16_t timer_slot;
  TimerKind timer;
  std::uint8_t backoff;   ///< doublings of the running timer
  std::uint32_t srtt_us;  ///< 0: not measured yet
  std::uint32_t rttvar_us;
  std::uint32_t rto_us;
  base::SeqNum rtt_seq;  ///< measured without timestamps: the octet that ends it
  base::Instant rtt_start;

  // --- line 4 ---
  CongestionState congestion;
  HystartState hystart;
  base::SeqNum recover;      ///< RFC 6582: recovery ends when this is acknowledged
  base::SeqNum lost_edge;    ///< not SACKed and below this: taken for lost
  base::SeqNum high_rxt;     ///< retransmitted up to here (RFC 6675, 2)
  std::uint32_t sack_frame;  ///< private frame with the scoreboard (sack.h); 0: nothing SACKed
  Recovery recovery;
  std::uint8_t duplicate_acks;
  std::uint8_t probes;         ///< keepalive or window probes without an answer
  std::uint8_t full_segments;  ///< received since the last ACK
  std::uint32_t rtt_min_us;
  std::uint32_t fast_bytes;  ///< NewReno: bytes that duplicate ACKs stand for

  // --- line 5 ---
  std::uint32_t ooo_head;  ///< cells of out-of-order data, by sequence number (aux)
  std::uint32_t ooo_tail;
  std::uint32_t ooo_bytes;
  std::uint32_t ooo_cells;
  std::array<base::SeqNum, 4> ooo_recent;  ///< where data arrived out of order last
  base::Instant last_received;
  base::Instant last_sent;      ///< of data
  base::Instant first_unacked;  ///< when what is now at snd.una was first sent, or the probe begun

  // --- line 6 ---
  Options options;
  std::uint32_t retransmits;
  std::uint32_t timeouts;
  std::uint64_t bytes_sent;
  std::uint64_t bytes_received;
  base::Instant ts_recent_at;
  std::uint32_t path_generation;
  std::uint32_t reserved;
};
static_assert(sizeof(Connection) <= 512);
static_assert(sizeof(SendSequence) == 12 && offsetof(Connection, tx) == 64);
static_assert(offsetof(Connection, local) == 128);
static_assert(std::is_trivially_copyable_v<Connection> && std::is_standard_layout_v<Connection>);

/// A listening endpoint with its queue of connections that wait to be accepted.
struct Listener {
  std::uint32_t chain;  ///< next of the same hash of the port
  std::uint32_t socket;
  base::Endpoint local;
  bool v6_only;
  bool reuse_port;  ///< others may listen on the same address, if they say so too
  bool in_use;
  std::uint32_t backlog;      ///< limit of `ready`
  std::uint32_t handshaking;  ///< connections in SYN-RECEIVED
  std::uint32_t ready;        ///< established, not accepted yet
  std::uint32_t queue_head;   ///< of the ready ones, oldest first
  std::uint32_t queue_tail;
  std::uint32_t generation;
  std::uint32_t event_next;
  std::uint32_t events;
  bool in_event_list;
  Options options;
};
static_assert(std::is_trivially_copyable_v<Listener> && std::is_standard_layout_v<Listener>);

constexpr std::uint32_t kMaxConnections = 65536;
constexpr std::uint32_t kMaxListeners = 2048;
using ConnectionSlab = mem::Slab<Connection, kMaxConnections>;
using ListenerSlab = mem::Slab<Listener, kMaxListeners>;

}  // namespace ringway::tcp
