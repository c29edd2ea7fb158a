#include "cli/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringway::cli {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

TEST(Attach, TapWithAddress_IsTheGatewaysCommand) {
  const auto command = gateway_command("lab", "tap:rw5,ip=10.9.0.1/24", true);
  ASSERT_TRUE(command);
  EXPECT_THAT(*command, ElementsAre(EndsWith("/ringway-gateway"), "--network", "lab", "--tap",
                                    "rw5", "--ip", "10.9.0.1/24", "--foreground"));
}

TEST(Attach, TapAlone_LeavesTheRestToTheGateway) {
  const auto command = gateway_command("default", "tap", false);
  ASSERT_TRUE(command);
  EXPECT_THAT(*command, ElementsAre(EndsWith("/ringway-gateway"), "--network", "default"));
}

TEST(Attach, OtherDriversAndOptions_AreRefused) {
  EXPECT_THAT(gateway_command("default", "xdp:eth0", false).error().what, HasSubstr("tap:NAME"));
  EXPECT_THAT(gateway_command("default", "tap:rw0,speed=3", false).error().what,
              HasSubstr("speed"));
}

}  // namespace
}  // namespace ringway::cli
