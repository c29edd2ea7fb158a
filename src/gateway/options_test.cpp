#include "gateway/options.h"

#include <gtest/gtest.h>

#include <vector>

#include "gateway/attach_spec.h"

namespace ringway::gateway {
namespace {

base::Result<Options> parse(std::vector<const char*> arguments) { return parse_options(arguments); }

TEST(GatewayOptions, Nothing_IsTheDefaultNetwork) {
  const auto options = parse({});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->network, "default");
  EXPECT_FALSE(options->ip);
  EXPECT_FALSE(options->foreground);
}

TEST(GatewayOptions, All_AreTaken) {
  const auto options =
      parse({"--network", "lab", "--tap", "rw7", "--ip", "10.9.0.1/24", "--foreground"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->network, "lab");
  EXPECT_EQ(options->tap, "rw7");
  ASSERT_TRUE(options->ip);
  EXPECT_EQ(base::to_string(*options->ip), "10.9.0.1/24");
  EXPECT_TRUE(options->foreground);
}

TEST(GatewayOptions, PortOrTap_BecomeOneSpec) {
  EXPECT_EQ(parse({"--port", "xdp:eth1,vlan=3"})->spec(), "xdp:eth1,vlan=3");
  EXPECT_EQ(parse({})->spec(), "tap:rw%d");
  EXPECT_EQ(parse({"--tap", "rw7", "--ip", "10.9.0.1"})->spec(), "tap:rw7,ip=10.9.0.1");
  EXPECT_EQ(parse({"--ip", "10.9.0.1/24"})->spec(), "tap:rw%d,ip=10.9.0.1/24");
}

TEST(AttachSpec, BridgesOptionsAreTakenOut) {
  const auto spec =
      AttachSpec::parse("xdp:eth1,queue=2,ip=10.9.0.1/24,vlan=7,storm=1k,copy").value();
  EXPECT_EQ(spec.port_text(), "xdp:eth1,queue=2,copy=1");
  EXPECT_EQ(base::to_string(*spec.ip), "10.9.0.1/24");
  EXPECT_EQ(spec.member.vlan, 7);
  EXPECT_EQ(spec.member.storm, 1024U);
  EXPECT_EQ(AttachSpec::parse("tap")->port_text(), "tap");
  EXPECT_EQ(AttachSpec::parse("loop:size=7")->port_text(), "loop:size=7");
  EXPECT_EQ(AttachSpec::parse("tap:rw0,ip=10.9.0.1")->ip->length, 0);
}

TEST(AttachSpec, Nonsense_IsOneLine) {
  for (const char* wrong : {"", "tap:rw0,ip=fd00::1", "tap:rw0,ip=x", "tap:rw0,vlan=0",
                            "tap:rw0,vlan=4095", "tap:rw0,storm=-1", "tap:rw0,storm=many"}) {
    const auto spec = AttachSpec::parse(wrong);
    ASSERT_FALSE(spec) << wrong;
    EXPECT_EQ(spec.error().what.find('\n'), std::string::npos);
  }
}

TEST(GatewayOptions, AddressWithoutLength_LeavesTheLengthToTheNetwork) {
  const auto options = parse({"--ip", "10.9.0.1"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->ip->length, 0);
}

TEST(GatewayOptions, Nonsense_IsRefusedByName) {
  EXPECT_NE(parse({"--tap"}).error().what.find("--tap needs a value"), std::string::npos);
  EXPECT_NE(parse({"--wrong"}).error().what.find("--wrong"), std::string::npos);
  EXPECT_FALSE(parse({"--ip", "fd00::1/64"}));
  EXPECT_FALSE(parse({"--ip", "10.0.0"}));
}

}  // namespace
}  // namespace ringway::gateway
