#include "driver/open.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

#include "port/test_pool.h"

namespace ringway::driver {
namespace {

TEST(OpenPort, UnknownDriverOrBadSpec_SaysWhatThereIs) {
  port::TestPool pool(4);
  for (const char* spec :
       {"", "xyz:eth0", "loop:name", "pcap", "tap:rw0,unknown=1", "tap:rw0,ip=x", "loop:queues=0",
        "loop:queues=65", "loop:queues=2", "loop:queues=x", "loop:queues=1,queues=1"}) {
    const auto port = open_port(spec, pool.pool());
    ASSERT_FALSE(port) << spec;
    EXPECT_EQ(port.error().code, base::ErrorCode::kInvalidArgument) << port.error().what;
    EXPECT_EQ(port.error().what.find('\n'), std::string::npos);
  }
  EXPECT_NE(open_port("xyz:eth0", pool.pool()).error().what.find("there is: tap"),
            std::string::npos);
}

TEST(OpenPort, EveryDriver_IsDescribed) {
  std::set<std::string_view> names;
  for (const Driver& driver : drivers()) {
    EXPECT_TRUE(names.insert(driver.name).second) << driver.name;
    EXPECT_TRUE(port::Spec::parse(driver.form)) << driver.form;
    EXPECT_EQ(driver.form.substr(0, driver.name.size()), driver.name);
    EXPECT_FALSE(driver.doc.empty());
    EXPECT_GE(driver.max_queues, 1U);
    const auto works = driver.probe();
    if (!works) {
      EXPECT_EQ(works.error().what.find('\n'), std::string::npos) << works.error().what;
    }
  }
}

TEST(OpenPort, QueueCount_IsReadAndChecked) {
  EXPECT_EQ(queue_count("loop:").value(), 1U);
  EXPECT_EQ(queue_count("loop:queues=1").value(), 1U);
  EXPECT_FALSE(queue_count("loop:queues=2"));
  EXPECT_FALSE(queue_count("xyz:"));
}

TEST(OpenPort, PoolsAndQueues_MustAgree) {
  port::TestPool one(4);
  port::TestPool two(4);
  const std::array<Frames, 2> frames{Frames(one.pool()), Frames(two.pool())};
  const auto queues = open_queues("loop:", frames);
  ASSERT_FALSE(queues);
  EXPECT_NE(queues.error().what.find("2 queues"), std::string::npos) << queues.error().what;
  EXPECT_FALSE(open_queues("loop:", {}));
}

TEST(OpenPort, Loop_GivesBackWhatIsSent) {
  port::TestPool pool(4);
  auto port = open_port("loop:", pool.pool());
  ASSERT_TRUE(port) << port.error().what;
  const std::vector<std::byte> bytes(60, std::byte{7});
  const mem::FrameDesc sent = pool.frame(bytes);
  ASSERT_EQ((*port)->tx_burst({&sent, 1}), 1U);
  mem::FrameDesc received;
  ASSERT_EQ((*port)->rx_burst({&received, 1}), 1U);
  EXPECT_EQ(pool.take({&received, 1}), bytes);
  port->reset();
  EXPECT_TRUE(pool.whole());
}

}  // namespace
}  // namespace ringway::driver
