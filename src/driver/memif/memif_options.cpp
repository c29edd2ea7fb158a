#include "driver/memif/memif_options.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <bit>

#include "driver/memif/memif_format.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

enum MemifOption : std::uint8_t { kRole, kId, kSecret, kRing, kMac, kMtu, kZeroCopy };

Result<void> check_texts(const port::Spec& spec, const port::SpecValues& values) {
  if (spec.name.size() < 2 || spec.name.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("a memif port needs the path of its socket, up to {} characters; "
                            "expected memif:/run/vpp/memif.sock or memif:@NAME",
                            sizeof(sockaddr_un{}.sun_path) - 1));
  }
  const std::string& role = values.text(kRole);
  if (!role.empty() && role != "master" && role != "slave") {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("option role: '{}' is not master or slave", role));
  }
  if (values.text(kSecret).size() > memif::Message::kSecretBytes) {
    return fail(ErrorCode::kInvalidArgument, "option secret: more than 24 characters");
  }
  return {};
}

}  // namespace

Result<MemifOptions> MemifOptions::parse(const port::Spec& spec) {
  const auto values = port::SpecValues::read(spec, kMemifOptions);
  if (!values) return tl::unexpected(values.error());
  if (auto fine = check_texts(spec, *values); !fine) return tl::unexpected(fine.error());
  MemifOptions options;
  options.path = spec.name;
  options.master = values->text(kRole) == "master";
  options.id = static_cast<std::uint32_t>(values->number(kId));
  options.secret = values->text(kSecret);
  options.ring = static_cast<std::uint32_t>(values->number(kRing));
  options.mtu = static_cast<std::uint16_t>(values->number(kMtu));
  options.zero_copy = values->number(kZeroCopy) != 0;
  if (!std::has_single_bit(options.ring)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("option ring: {} is no power of two", options.ring));
  }
  if (options.master && options.zero_copy) {
    return fail(ErrorCode::kInvalidArgument,
                "option zerocopy: a master works in the memory of the slave; use role=slave");
  }
  if (values->given(kMac)) {
    const auto mac = base::parse_mac(values->text(kMac));
    if (!mac) return tl::unexpected(mac.error());
    if (mac->is_multicast() || *mac == base::MacAddress{}) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("option mac: '{}' is no address of one station", values->text(kMac)));
    }
    options.mac = *mac;
  }
  return options;
}

}  // namespace ringway::driver
