#include "gateway/options.h"

#include <gtest/gtest.h>

#include <vector>

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
