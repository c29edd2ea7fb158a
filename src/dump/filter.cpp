#include "dump/filter.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <optional>

#include "base/address.h"

namespace ringway::dump {

using base::ErrorCode;
using base::Result;

struct Filter::Program {
  bpf_program code{};
};

void Filter::Free::operator()(Program* program) const {
  ::pcap_freecode(&program->code);
  delete program;
}

Result<Filter> Filter::compile(const std::string& text) {
  Filter filter;
  if (text.empty()) return filter;
  constexpr int kSnap = 65535;
  pcap_t* dead = ::pcap_open_dead(DLT_EN10MB, kSnap);
  if (dead == nullptr) return base::fail(ErrorCode::kExhausted, "no memory for a filter");
  filter.program_.reset(new Program);
  const int failed =
      ::pcap_compile(dead, &filter.program_->code, text.c_str(), 1, PCAP_NETMASK_UNKNOWN);
  const std::string why = failed != 0 ? ::pcap_geterr(dead) : "";
  ::pcap_close(dead);
  if (failed != 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("filter '{}': {}; see pcap-filter(7)", text, why));
  }
  return filter;
}

bool Filter::takes(std::span<const std::byte> bytes, std::uint32_t length) const {
  if (program_ == nullptr) return true;
  pcap_pkthdr header{};
  header.caplen = static_cast<bpf_u_int32>(bytes.size());
  header.len = length;
  return ::pcap_offline_filter(&program_->code, &header,
                               reinterpret_cast<const u_char*>(bytes.data())) != 0;
}

namespace {

struct End {
  std::string address;
  std::string port;
};

/// "10.0.0.1:80" or "[fd00::1]:80".
std::optional<End> parse_end(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return std::nullopt;
  std::string address = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
  }
  if (port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5 ||
      std::stoul(port) > UINT16_MAX || !base::parse_ip(address)) {
    return std::nullopt;
  }
  return End{address, port};
}

}  // namespace

Result<std::string> connection_filter(const std::string& text) {
  const auto dash = text.find('-');
  std::optional<End> a;
  std::optional<End> b;
  if (dash != std::string::npos) {
    a = parse_end(text.substr(0, dash));
    b = parse_end(text.substr(dash + 1));
  }
  if (!a || !b) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no connection; write both ends as `ringway ss` shows "
                                  "them: 127.0.0.1:40000-127.0.0.1:6379",
                                  text));
  }
  const auto way = [](const End& from, const End& to) {
    return fmt::format("(src host {} and src port {} and dst host {} and dst port {})",
                       from.address, from.port, to.address, to.port);
  };
  return fmt::format("{} or {}", way(*a, *b), way(*b, *a));
}

}  // namespace ringway::dump
