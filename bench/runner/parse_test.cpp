#include "bench/runner/parse.h"

#include <gtest/gtest.h>

namespace ringway::bench {
namespace {

TEST(ParsePlain, LinesBeforeTheResult_AreSkipped) {
  const auto values = parse_plain("ready\n{\"p50_us\":1.5,\"mode\":\"spin\",\"requests\":7}\n");
  ASSERT_TRUE(values);
  EXPECT_DOUBLE_EQ(values->at("p50_us"), 1.5);
  EXPECT_DOUBLE_EQ(values->at("requests"), 7);
  EXPECT_EQ(values->count("mode"), 0U);
}

TEST(ParsePlain, NoJson_Fails) {
  EXPECT_FALSE(parse_plain("ready\n"));
  EXPECT_FALSE(parse_plain("{\"p50_us\":1."));
}

TEST(ParseRedis, TwoTests_RateIsOfAllRequestsTogether) {
  const auto values = parse_redis_benchmark(
      "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_"
      "ms\","
      "\"p99_latency_ms\",\"max_latency_ms\"\n"
      "\"SET\",\"20000.00\",\"0.7\",\"0.1\",\"0.600\",\"1.0\",\"2.000\",\"3.0\"\n"
      "\"GET\",\"60000.00\",\"0.5\",\"0.1\",\"0.400\",\"0.9\",\"1.000\",\"3.0\"\n");
  ASSERT_TRUE(values);
  EXPECT_DOUBLE_EQ(values->at("rate"), 30000);
  EXPECT_DOUBLE_EQ(values->at("p50_us"), 500);
  EXPECT_DOUBLE_EQ(values->at("p99_us"), 2000);
  EXPECT_DOUBLE_EQ(values->at("tests"), 2);
}

TEST(ParseRedis, NothingButTheHeading_Fails) {
  EXPECT_FALSE(parse_redis_benchmark("\"test\",\"rps\"\n"));
}

constexpr const char* kWrk =
    "Running 1s test @ http://127.0.0.1:20000/1k.txt\n"
    "  Thread Stats   Avg      Stdev     Max   +/- Stdev\n"
    "    Latency     1.19ms  256.28us   5.42ms   90.55%\n"
    "  Latency Distribution\n     50%    1.12ms\n     75%    1.22ms\n     90%    1.32ms\n"
    "     99%  812.50us\n"
    "  58745 requests in 1.10s, 70.82MB read\n";

TEST(ParseWrk, UnitsOfTime_AreTurnedIntoMicroseconds) {
  const auto values = parse_wrk(std::string(kWrk) + "Requests/sec:  53393.23\n");
  ASSERT_TRUE(values);
  EXPECT_DOUBLE_EQ(values->at("rate"), 53393.23);
  EXPECT_DOUBLE_EQ(values->at("p50_us"), 1120);
  EXPECT_DOUBLE_EQ(values->at("p99_us"), 812.5);
  EXPECT_DOUBLE_EQ(values->at("requests"), 58745);
}

TEST(ParseWrk, SocketErrors_Fail) {
  const auto values =
      parse_wrk(std::string(kWrk) +
                "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec: 5.0\n");
  ASSERT_FALSE(values);
  EXPECT_NE(values.error().what.find("read 3"), std::string::npos);
}

TEST(ParseWrk, AnswersOfTheWrongKind_Fail) {
  EXPECT_FALSE(parse_wrk(std::string(kWrk) + "  Non-2xx or 3xx responses: 9\nRequests/sec: 5.0\n"));
}

}  // namespace
}  // namespace ringway::bench
