#include "driver/open.h"

#include <gtest/gtest.h>

#include "port/test_pool.h"

namespace ringway::driver {
namespace {

TEST(OpenPort, UnknownDriverOrBadSpec_SaysWhatThereIs) {
  port::TestPool pool(4);
  for (const char* spec : {"", "xyz:eth0", "loop", "pcap:x", "tap:rw0,unknown=1", "tap:rw0,ip=x"}) {
    const auto port = open_port(spec, pool.pool());
    ASSERT_FALSE(port) << spec;
    EXPECT_EQ(port.error().code, base::ErrorCode::kInvalidArgument) << port.error().what;
    EXPECT_EQ(port.error().what.find('\n'), std::string::npos);
  }
  EXPECT_NE(open_port("xyz:eth0", pool.pool()).error().what.find("there is: tap"),
            std::string::npos);
}

}  // namespace
}  // namespace ringway::driver
