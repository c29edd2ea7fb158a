// getsockopt and setsockopt of stack sockets.

#include <linux/tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "socket/sockets.h"

namespace ringway::socket {

using stack::Socket;
using stack::SocketKind;

namespace {

int answer(const void* from, std::size_t size, void* value, socklen_t* length) {
  const auto n = std::min<std::size_t>(*length, size);
  std::memcpy(value, from, n);
  *length = static_cast<socklen_t>(n);
  return 0;
}

int answer_int(int v, void* value, socklen_t* length) {
  return answer(&v, sizeof v, value, length);
}

/// What Linux takes and what changes nothing here that a program could observe on a stack socket.
bool harmless_at_socket_level(int name) {
  switch (name) {
    case SO_BROADCAST:
    case SO_PRIORITY:
    case SO_OOBINLINE:
    case SO_RCVLOWAT:
    case SO_TIMESTAMP:
    case SO_BUSY_POLL:
    case SO_INCOMING_CPU:
    case SO_DONTROUTE:
    case SO_ZEROCOPY:
      return true;
    default:
      return false;
  }
}

bool harmless_at_ip_level(int level, int name) {
  if (level == IPPROTO_IP) {
    switch (name) {
      case IP_TTL:
      case IP_MTU_DISCOVER:
      case IP_RECVERR:
      case IP_PKTINFO:
      case IP_RECVTOS:
      case IP_RECVTTL:
      case IP_FREEBIND:
      case IP_BIND_ADDRESS_NO_PORT:
      case IP_MULTICAST_TTL:
      case IP_MULTICAST_LOOP:
        return true;
      default:
        return false;
    }
  }
  switch (name) {
    case IPV6_UNICAST_HOPS:
    case IPV6_MTU_DISCOVER:
    case IPV6_RECVERR:
    case IPV6_RECVPKTINFO:
    case IPV6_RECVTCLASS:
    case IPV6_MULTICAST_HOPS:
    case IPV6_MULTICAST_LOOP:
      return true;
    default:
      return false;
  }
}

bool is_traffic_class(int level, int name) {
  return (level == IPPROTO_IP && name == IP_TOS) || (level == IPPROTO_IPV6 && name == IPV6_TCLASS);
}

int set_traffic_class(Socket& s, int level, int v) {
  if (level == IPPROTO_IPV6 && (v < -1 || v > 255)) return -EINVAL;
  constexpr int kEcn = 3;  // RFC 3168: TCP's own
  const int bits = v == -1 ? 0 : v;
  s.traffic_class = static_cast<std::uint8_t>(s.kind == SocketKind::kUdp ? bits : bits & ~kEcn);
  return 0;
}

constexpr std::string_view kCongestionNames[] = {"cubic", "reno"};

std::uint8_t state_number(tcp::State state) {
  switch (state) {
    case tcp::State::kEstablished:
      return 1;
    case tcp::State::kSynSent:
      return 2;
    case tcp::State::kSynReceived:
      return 3;
    case tcp::State::kFinWait1:
      return 4;
    case tcp::State::kFinWait2:
      return 5;
    case tcp::State::kTimeWait:
      return 6;
    case tcp::State::kClosed:
      return 7;
    case tcp::State::kCloseWait:
      return 8;
    case tcp::State::kLastAck:
      return 9;
    case tcp::State::kClosing:
      return 11;
  }
  return 7;
}

tcp_info to_linux(const tcp::Info& info) {
  tcp_info out{};
  out.tcpi_state = state_number(info.state);
  out.tcpi_options = static_cast<std::uint8_t>((info.timestamps ? TCPI_OPT_TIMESTAMPS : 0) |
                                               (info.sack ? TCPI_OPT_SACK : 0) | TCPI_OPT_WSCALE);
  out.tcpi_rto = info.rto_us;
  out.tcpi_snd_mss = info.mss;
  out.tcpi_rcv_mss = info.mss;
  out.tcpi_rtt = info.rtt_us;
  out.tcpi_rttvar = info.rttvar_us;
  out.tcpi_snd_ssthresh = info.ssthresh_bytes / std::max(info.mss, 1U);
  out.tcpi_snd_cwnd = info.cwnd_bytes / std::max(info.mss, 1U);
  out.tcpi_advmss = info.mss;
  out.tcpi_pmtu = info.mss + 40;
  out.tcpi_rcv_space = info.receive_window_bytes;
  out.tcpi_total_retrans = info.retransmits;
  out.tcpi_bytes_acked = info.bytes_sent;
  out.tcpi_bytes_received = info.bytes_received;
  return out;
}

}  // namespace

tcp::Options& Sockets::options_of(Socket& s) {
  if (s.kind == SocketKind::kTcp) s.options = stack_.tcp().options(s.object);
  return s.options;
}

void Sockets::apply_options(Socket& s, base::Instant now) {
  if (s.kind == SocketKind::kUdp) {
    udp::Options& options = stack_.udp().options(s.object);
    if (s.options.receive_buffer_bytes != tcp::Options::kDefaultBuffer) {
      options.receive_buffer_bytes = s.options.receive_buffer_bytes;
    }
    if (s.options.send_buffer_bytes != tcp::Options::kDefaultBuffer) {
      options.send_buffer_bytes = s.options.send_buffer_bytes;
    }
    options.reuse_address = s.reuse_address != 0;
    options.reuse_port = s.reuse_port != 0;
  }
  if (s.kind == SocketKind::kTcp) stack_.tcp().set_options(s.object, s.options, now);
}

int Sockets::set_option(std::uint32_t index, int level, int name, const void* value,
                        socklen_t length, base::Instant now) {
  Socket& s = at(index);
  if (length < sizeof(int) && !(level == IPPROTO_TCP && name == TCP_CONGESTION)) return -EINVAL;
  int v = 0;
  std::memcpy(&v, value, std::min<std::size_t>(length, sizeof v));
  int result = -ENOPROTOOPT;
  options_of(s);
  if (level == SOL_SOCKET) {
    result = set_socket_option(s, name, v, value, length);
  } else if (level == IPPROTO_TCP && s.kind != SocketKind::kUdp) {
    result = set_tcp_option(s, name, v, value, length);
  } else if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) {
    s.v6_only = v != 0 ? 1 : 0;
    result = 0;
  } else if (is_traffic_class(level, name)) {
    result = set_traffic_class(s, level, v);
  } else if (level == IPPROTO_IP || level == IPPROTO_IPV6) {
    result = harmless_at_ip_level(level, name) ? 0 : -ENOPROTOOPT;
  }
  if (result == 0) apply_options(s, now);
  return result;
}

int Sockets::set_socket_option(Socket& s, int name, int v, const void* raw, socklen_t length) {
  // Linux doubles what is asked for, to allow for its own overhead, and reports the doubled value.
  const auto doubled = static_cast<std::uint32_t>(std::clamp(v, 1024, 32 * 1024 * 1024)) * 2U;
  switch (name) {
    case SO_REUSEADDR:
      s.reuse_address = v != 0 ? 1 : 0;
      return 0;
    case SO_REUSEPORT:
      s.reuse_port = v != 0 ? 1 : 0;
      return 0;
    case SO_KEEPALIVE:
      s.options.keepalive = v != 0;
      return 0;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
      s.options.send_buffer_bytes = doubled;
      return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
      s.options.receive_buffer_bytes = doubled;
      return 0;
    case SO_LINGER: {
      if (length < sizeof(linger)) return -EINVAL;
      linger l{};
      std::memcpy(&l, raw, sizeof l);
      s.options.linger = l.l_onoff != 0;
      s.options.linger_s = static_cast<std::uint16_t>(std::clamp(l.l_linger, 0, 65535));
      return 0;
    }
    default:
      return harmless_at_socket_level(name) ? 0 : -ENOPROTOOPT;
  }
}

int Sockets::set_tcp_option(Socket& s, int name, int v, const void* raw, socklen_t length) {
  switch (name) {
    case TCP_NODELAY:
      s.options.no_delay = v != 0;
      return 0;
    case TCP_CORK:
      s.options.cork = v != 0;
      return 0;
    case TCP_KEEPIDLE:
      if (v < 1 || v > 32767) return -EINVAL;
      s.options.keepalive_idle_s = static_cast<std::uint16_t>(v);
      return 0;
    case TCP_KEEPINTVL:
      if (v < 1 || v > 32767) return -EINVAL;
      s.options.keepalive_interval_s = static_cast<std::uint16_t>(v);
      return 0;
    case TCP_KEEPCNT:
      if (v < 1 || v > 127) return -EINVAL;
      s.options.keepalive_count = static_cast<std::uint8_t>(v);
      return 0;
    case TCP_USER_TIMEOUT:
      if (v < 0) return -EINVAL;
      s.options.user_timeout_ms = static_cast<std::uint32_t>(v);
      return 0;
    case TCP_CONGESTION: {
      const std::string_view wanted(static_cast<const char*>(raw),
                                    strnlen(static_cast<const char*>(raw), length));
      for (std::size_t i = 0; i < std::size(kCongestionNames); ++i) {
        if (wanted != kCongestionNames[i]) continue;
        s.options.congestion = static_cast<tcp::Congestion>(i);
        return 0;
      }
      return -ENOENT;
    }
    case TCP_QUICKACK:
    case TCP_DEFER_ACCEPT:
    case TCP_SYNCNT:
    case TCP_LINGER2:
    case TCP_WINDOW_CLAMP:
    case TCP_NOTSENT_LOWAT:
    case TCP_MAXSEG:
    case TCP_FASTOPEN:
    case TCP_THIN_LINEAR_TIMEOUTS:
      return 0;
    default:
      return -ENOPROTOOPT;
  }
}

int Sockets::get_option(std::uint32_t index, int level, int name, void* value, socklen_t* length) {
  Socket& s = at(index);
  options_of(s);
  if (level == SOL_SOCKET) return get_socket_option(s, name, value, length);
  if (level == IPPROTO_TCP && s.kind != SocketKind::kUdp)
    return get_tcp_option(s, name, value, length);
  if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) return answer_int(s.v6_only, value, length);
  if (is_traffic_class(level, name)) return answer_int(s.traffic_class, value, length);
  if (level == IPPROTO_IP && name == IP_TTL) return answer_int(64, value, length);
  if (level == IPPROTO_IP && name == IP_MTU) return answer_int(65535, value, length);
  if ((level == IPPROTO_IP || level == IPPROTO_IPV6) && harmless_at_ip_level(level, name)) {
    return answer_int(0, value, length);
  }
  const bool known =
      level == IPPROTO_IP || level == IPPROTO_IPV6 || level == IPPROTO_TCP || level == IPPROTO_UDP;
  return known ? -ENOPROTOOPT : -EOPNOTSUPP;
}

int Sockets::get_socket_option(Socket& s, int name, void* value, socklen_t* length) {
  const bool stream = s.kind != SocketKind::kUdp;
  switch (name) {
    case SO_ERROR: {
      int error = s.error;
      s.error = 0;
      if (s.kind == SocketKind::kUdp) error = stack_.udp().error(s.object);
      if (s.kind == SocketKind::kTcp) {
        const int pending = stack_.tcp().error(s.object);
        if (pending != 0) error = pending;
      }
      return answer_int(error, value, length);
    }
    case SO_TYPE:
      return answer_int(stream ? SOCK_STREAM : SOCK_DGRAM, value, length);
    case SO_DOMAIN:
      return answer_int(s.domain, value, length);
    case SO_PROTOCOL:
      return answer_int(stream ? IPPROTO_TCP : IPPROTO_UDP, value, length);
    case SO_ACCEPTCONN:
      return answer_int(s.kind == SocketKind::kListener, value, length);
    case SO_REUSEADDR:
      return answer_int(s.reuse_address, value, length);
    case SO_REUSEPORT:
      return answer_int(s.reuse_port, value, length);
    case SO_KEEPALIVE:
      return answer_int(s.options.keepalive, value, length);
    case SO_SNDBUF:
      return answer_int(static_cast<int>(s.options.send_buffer_bytes), value, length);
    case SO_RCVBUF:
      return answer_int(static_cast<int>(s.options.receive_buffer_bytes), value, length);
    case SO_LINGER: {
      const linger l{s.options.linger ? 1 : 0, s.options.linger_s};
      return answer(&l, sizeof l, value, length);
    }
    default:
      return harmless_at_socket_level(name) ? answer_int(0, value, length) : -ENOPROTOOPT;
  }
}

int Sockets::get_tcp_option(Socket& s, int name, void* value, socklen_t* length) {
  const bool connected = s.kind == SocketKind::kTcp;
  switch (name) {
    case TCP_NODELAY:
      return answer_int(s.options.no_delay, value, length);
    case TCP_CORK:
      return answer_int(s.options.cork, value, length);
    case TCP_KEEPIDLE:
      return answer_int(s.options.keepalive_idle_s, value, length);
    case TCP_KEEPINTVL:
      return answer_int(s.options.keepalive_interval_s, value, length);
    case TCP_KEEPCNT:
      return answer_int(s.options.keepalive_count, value, length);
    case TCP_USER_TIMEOUT:
      return answer_int(static_cast<int>(s.options.user_timeout_ms), value, length);
    case TCP_MAXSEG:
      return answer_int(connected ? static_cast<int>(stack_.tcp().info(s.object).mss) : 536, value,
                        length);
    case TCP_CONGESTION: {
      const std::string_view text =
          kCongestionNames[static_cast<std::size_t>(s.options.congestion)];
      char padded[16] = {};
      text.copy(padded, sizeof padded - 1);
      return answer(padded, sizeof padded, value, length);
    }
    case TCP_INFO: {
      tcp::Info info;
      if (connected) info = stack_.tcp().info(s.object);
      tcp_info out = to_linux(info);
      if (s.kind == SocketKind::kListener) out.tcpi_state = 10;
      return answer(&out, sizeof out, value, length);
    }
    case TCP_QUICKACK:
    case TCP_DEFER_ACCEPT:
    case TCP_SYNCNT:
    case TCP_LINGER2:
    case TCP_WINDOW_CLAMP:
    case TCP_NOTSENT_LOWAT:
    case TCP_FASTOPEN:
      return answer_int(0, value, length);
    default:
      return -ENOPROTOOPT;
  }
}

}  // namespace ringway::socket
