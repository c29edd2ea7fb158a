#include "cli/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringway::cli {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

TEST(Attach, AnyPort_IsTheGatewaysCommand) {
  const auto command = gateway_command("lab", "tap:rw5,ip=10.9.0.1/24", true);
  ASSERT_TRUE(command);
  EXPECT_THAT(*command, ElementsAre(EndsWith("/ringway-gateway"), "--network", "lab", "--port",
                                    "tap:rw5,ip=10.9.0.1/24", "--foreground"));
}

TEST(Attach, NoSpecAtAll_IsRefused) {
  EXPECT_FALSE(gateway_command("default", "", false));
  EXPECT_THAT(gateway_command("default", "tap:rw0,=3", false).error().what, HasSubstr("="));
}

}  // namespace
}  // namespace ringway::cli
