#include "dump/text.h"

#include <fmt/format.h>
#include <time.h>

#include "base/bytes.h"
#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/tcp.h"

namespace ringway::dump {
namespace {

constexpr std::size_t kMostFlows = 65536;

std::string end_of(const base::IpAddress& address, std::uint16_t port) {
  return fmt::format("{}.{}", base::to_string(address), port);
}

std::string flags_of(std::uint8_t flags) {
  std::string text;
  constexpr struct {
    std::uint8_t bit;
    char letter;
  } kLetters[] = {{0x01, 'F'}, {0x02, 'S'}, {0x04, 'R'}, {0x08, 'P'},
                  {0x20, 'U'}, {0x40, 'E'}, {0x80, 'W'}, {0x10, '.'}};
  for (const auto& [bit, letter] : kLetters) {
    if ((flags & bit) != 0) text += letter;
  }
  return text.empty() ? "none" : text;
}

std::string sack_blocks(std::span<const std::byte> option) {
  std::string text = fmt::format("sack {}", (option.size() - 2) / 8);
  for (std::size_t at = 2; at + 8 <= option.size(); at += 8) {
    text +=
        fmt::format("{{{}:{}}}", base::load_be32(&option[at]), base::load_be32(&option[at + 4]));
  }
  return text;
}

/// One option; `option` is kind, length and value, the length believed already.
std::string option_text(std::span<const std::byte> option) {
  const std::uint8_t kind = base::load_u8(option.data());
  if (kind == 2 && option.size() == 4) return fmt::format("mss {}", base::load_be16(&option[2]));
  if (kind == 3 && option.size() == 3) return fmt::format("wscale {}", base::load_u8(&option[2]));
  if (kind == 4 && option.size() == 2) return "sackOK";
  if (kind == 5 && option.size() >= 10) return sack_blocks(option);
  if (kind == 8 && option.size() == 10) {
    return fmt::format("TS val {} ecr {}", base::load_be32(&option[2]),
                       base::load_be32(&option[6]));
  }
  return fmt::format("unknown-{}", kind);
}

std::string options_of(std::span<const std::byte> options) {
  std::string text;
  const auto add = [&text](const std::string& one) { text += (text.empty() ? "" : ",") + one; };
  while (!options.empty()) {
    const std::uint8_t kind = base::load_u8(options.data());
    if (kind == 0) {
      add("eol");
      break;
    }
    if (kind == 1) {
      add("nop");
      options = options.subspan(1);
      continue;
    }
    const std::size_t length = options.size() < 2 ? 0 : base::load_u8(&options[1]);
    if (length < 2 || length > options.size()) return text + "[bad opt]";
    add(option_text(options.first(length)));
    options = options.subspan(length);
  }
  return text;
}

std::string icmp_text(std::span<const std::byte> l4, const wire::PacketView& view) {
  const bool v4 = view.is_v4();
  const char* name = v4 ? "ICMP" : "ICMP6";
  if (l4.empty()) return fmt::format("{} [|icmp], length {}", name, view.l4_length());
  const std::uint8_t type = base::load_u8(l4.data());
  const bool request = type == (v4 ? 8 : 128);
  const bool reply = type == (v4 ? 0 : 129);
  if ((request || reply) && l4.size() >= 8) {
    return fmt::format("{}, echo {}, id {}, seq {}, length {}", name, request ? "request" : "reply",
                       base::load_be16(&l4[4]), base::load_be16(&l4[6]), view.l4_length());
  }
  return fmt::format("{}, type {} code {}, length {}", name, type,
                     l4.size() < 2 ? 0 : base::load_u8(&l4[1]), view.l4_length());
}

std::string arp_text(std::span<const std::byte> bytes) {
  const auto arp = wire::ArpPacket::parse(bytes);
  if (!arp) return fmt::format("ARP, length {}", bytes.size());
  if (arp->operation == wire::ArpOperation::kRequest) {
    return fmt::format("ARP, Request who-has {} tell {}, length {}",
                       base::to_string(arp->target_ip), base::to_string(arp->sender_ip),
                       bytes.size());
  }
  return fmt::format("ARP, Reply {} is-at {}, length {}", base::to_string(arp->sender_ip),
                     base::to_string(arp->sender_mac), bytes.size());
}

std::string other_text(const Frame& frame) {
  if (frame.bytes.size() < 14) return fmt::format("[|ether], length {}", frame.record.length);
  return fmt::format("ethertype 0x{:04x}, length {}", base::load_be16(&frame.bytes[12]),
                     frame.record.length);
}

}  // namespace

std::string time_of_day(std::int64_t unix_ns) {
  const time_t seconds = unix_ns / 1'000'000'000;
  tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}.{:06}", local.tm_hour, local.tm_min, local.tm_sec,
                     unix_ns % 1'000'000'000 / 1000);
}

std::string TextPrinter::line(const Frame& frame) {
  wire::PacketView view;
  const auto drop = wire::parse_frame(
      frame.bytes, {.checksums_trusted = true, .packet_length = frame.record.length}, view);
  const bool readable = drop == wire::ParseDrop::kNone && view.l3_offset <= frame.bytes.size();
  return readable ? packet(frame, view) : other_text(frame);
}

std::string TextPrinter::packet(const Frame& frame, const wire::PacketView& view) {
  const std::span<const std::byte> bytes(frame.bytes);
  std::string text = view.vlan_id != 0 ? fmt::format("vlan {}, ", view.vlan_id) : "";
  if (view.ether_type == wire::EtherType::kArp)
    return text + arp_text(bytes.subspan(view.l3_offset));
  text += view.is_v4() ? "IP " : "IP6 ";
  const auto ends = [&](bool ports) {
    return ports ? fmt::format("{} > {}: ", end_of(view.src, view.src_port),
                               end_of(view.dst, view.dst_port))
                 : fmt::format("{} > {}: ", base::to_string(view.src), base::to_string(view.dst));
  };
  if (view.is_fragment) {
    return text + ends(false) +
           fmt::format("frag (id {}, offset {}, more {}), length {}", view.fragment_id,
                       view.fragment_offset, view.more_fragments ? "yes" : "no", view.l4_length());
  }
  const auto l4 = bytes.subspan(std::min<std::size_t>(view.l4_offset, bytes.size()));
  switch (view.protocol) {
    case wire::Protocol::kTcp:
      return text + ends(true) + tcp(l4, view);
    case wire::Protocol::kUdp:
      return text + ends(true) + fmt::format("UDP, length {}", view.payload_length());
    case wire::Protocol::kIcmp:
    case wire::Protocol::kIcmpv6:
      return text + ends(false) + icmp_text(l4, view);
    default:
      return text + ends(false) +
             fmt::format("ip-proto-{} {}", static_cast<int>(view.protocol), view.l4_length());
  }
}

std::uint32_t TextPrinter::origin(const Flow& flow, std::uint32_t first) {
  if (origins_.size() >= kMostFlows) origins_.clear();
  return origins_.try_emplace(flow, first).first->second;
}

std::string TextPrinter::tcp(std::span<const std::byte> l4, const wire::PacketView& view) {
  if (l4.size() < 20) return fmt::format("tcp {} [|tcp]", view.payload_length());
  std::uint32_t seq = base::load_be32(&l4[4]);
  std::uint32_t ack = base::load_be32(&l4[8]);
  const std::uint8_t flags = base::load_u8(&l4[13]);
  const std::uint32_t length = view.payload_length();
  const bool syn = (flags & wire::TcpFlags::kSyn) != 0;
  const Flow there{view.src, view.src_port, view.dst, view.dst_port};
  const Flow back{view.dst, view.dst_port, view.src, view.src_port};
  if (syn) {
    origins_.insert_or_assign(there, seq);
  } else {
    seq -= origin(there, seq);
  }
  if ((flags & wire::TcpFlags::kAck) != 0 && (!syn || origins_.contains(back))) {
    ack -= origin(back, ack);
  }
  std::string text = fmt::format("Flags [{}]", flags_of(flags));
  if (length != 0) {
    text += fmt::format(", seq {}:{}", seq, seq + length);
  } else if ((flags & (wire::TcpFlags::kSyn | wire::TcpFlags::kFin | wire::TcpFlags::kRst)) != 0) {
    text += fmt::format(", seq {}", seq);
  }
  if ((flags & wire::TcpFlags::kAck) != 0) text += fmt::format(", ack {}", ack);
  text += fmt::format(", win {}", base::load_be16(&l4[14]));
  const std::size_t header = std::size_t{base::load_u8(&l4[12])} / 16 * 4;
  if (header > 20 && header <= l4.size()) {
    text += fmt::format(", options [{}]", options_of(l4.subspan(20, header - 20)));
  }
  return text + fmt::format(", length {}", length);
}

}  // namespace ringway::dump
