#include "bench/runner/options.h"

#include <gtest/gtest.h>

namespace ringway::bench {
namespace {

TEST(ParseOptions, NoCaseNamed_MeansAll) {
  const auto options = parse_options({}, "/nowhere");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->cases.size(), all_cases().size());
  EXPECT_EQ(options->runner.pairs, 5U);
  EXPECT_EQ(options->runner.ringway, "/nowhere/ringway");
}

TEST(ParseOptions, CasesByOptionAndByWord_KeepTheirOrder) {
  const auto options = parse_options({"--cases", "stream,idle", "rr-100", "--quick"}, "/nowhere");
  ASSERT_TRUE(options);
  ASSERT_EQ(options->cases.size(), 3U);
  EXPECT_STREQ(options->cases[0]->name, "stream");
  EXPECT_STREQ(options->cases[2]->name, "rr-100");
  EXPECT_EQ(options->runner.pairs, 3U);
}

TEST(ParseOptions, UnknownCase_IsNamed) {
  const auto options = parse_options({"--cases", "strem"}, "/nowhere");
  ASSERT_FALSE(options);
  EXPECT_NE(options.error().what.find("strem"), std::string::npos);
}

TEST(ParseOptions, WrongOrMissingNumbers_AreRefused) {
  EXPECT_FALSE(parse_options({"--pairs", "0"}, "/nowhere"));
  EXPECT_FALSE(parse_options({"--pairs", "5x"}, "/nowhere"));
  EXPECT_FALSE(parse_options({"--seconds"}, "/nowhere"));
  EXPECT_FALSE(parse_options({"--seconds", "nan"}, "/nowhere"));
  EXPECT_FALSE(parse_options({"--what", "5"}, "/nowhere"));
}

TEST(Cases, EveryCase_CanBeFoundByItsName) {
  for (const Case& one : all_cases()) EXPECT_EQ(find_case(one.name), &one);
  EXPECT_EQ(find_case("nothing"), nullptr);
}

}  // namespace
}  // namespace ringway::bench
