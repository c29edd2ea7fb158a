#include "port/spec.h"

#include <gtest/gtest.h>

#include <array>

namespace ringway::port {
namespace {

constexpr std::array kTable{
    SpecOption{"loss", OptionKind::kFraction, 0, 0, 1'000'000, "0 to 1"},
    SpecOption{"delay", OptionKind::kDuration, 5, 0, 1'000'000'000, "up to 1s"},
    SpecOption{"ip", OptionKind::kText, 0, 0, 0, "address"},
    SpecOption{"size", OptionKind::kCount, 256, 2, 65536, "2 to 64k"},
};

TEST(Spec, DriverAlone_HasNoNameAndNoOptions) {
  const auto spec = Spec::parse("loop");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->driver, "loop");
  EXPECT_EQ(spec->name, "");
  EXPECT_TRUE(spec->options.empty());
}

TEST(Spec, NameAndOptions_AreTakenApart) {
  const auto spec = Spec::parse("tap:rw0,ip=fd00::1/64,up");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->driver, "tap");
  EXPECT_EQ(spec->name, "rw0");
  ASSERT_EQ(spec->options.size(), 2U);
  EXPECT_EQ(spec->options[0], (std::pair<std::string, std::string>{"ip", "fd00::1/64"}));
  EXPECT_EQ(spec->options[1], (std::pair<std::string, std::string>{"up", "1"}));
}

TEST(Spec, FirstItemWithEquals_IsAnOption) {
  const auto spec = Spec::parse("loop:loss=0.01,seed=7");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "");
  EXPECT_EQ(spec->options.size(), 2U);
}

TEST(Spec, Malformed_SaysWhatIsExpected) {
  for (const char* text : {"", ":x", "a b", "loop:a=1,=2", "loop:n,,x=1"}) {
    const auto spec = Spec::parse(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_NE(spec.error().what.find("expected"), std::string::npos) << spec.error().what;
    EXPECT_EQ(spec.error().what.find('\n'), std::string::npos);
  }
}

TEST(SpecValue, Units_AreKeptInTheSmallest) {
  EXPECT_EQ(parse_value(OptionKind::kCount, "16k").value(), 16384);
  EXPECT_EQ(parse_value(OptionKind::kFraction, "0.01").value(), 10'000);
  EXPECT_EQ(parse_value(OptionKind::kFraction, "2.5%").value(), 25'000);
  EXPECT_EQ(parse_value(OptionKind::kDuration, "1.5ms").value(), 1'500'000);
  EXPECT_EQ(parse_value(OptionKind::kRate, "10mbit").value(), 10'000'000);
  EXPECT_EQ(parse_value(OptionKind::kFlag, "off").value(), 0);
}

TEST(SpecValue, Malformed_IsRefused) {
  EXPECT_FALSE(parse_value(OptionKind::kCount, "1.5"));
  EXPECT_FALSE(parse_value(OptionKind::kCount, "-1"));
  EXPECT_FALSE(parse_value(OptionKind::kCount, "0x10"));
  EXPECT_FALSE(parse_value(OptionKind::kCount, ""));
  EXPECT_FALSE(parse_value(OptionKind::kCount, "99999999999999999999"));
  EXPECT_FALSE(parse_value(OptionKind::kDuration, "10"));
  EXPECT_FALSE(parse_value(OptionKind::kRate, "10mb"));
  EXPECT_FALSE(parse_value(OptionKind::kFraction, "inf"));
  EXPECT_FALSE(parse_value(OptionKind::kText, "1"));
}

TEST(SpecValues, Options_ComeFromSpecOrFallback) {
  const auto values = SpecValues::read(Spec::parse("loop:loss=1%,ip=10.0.0.1/24").value(), kTable);
  ASSERT_TRUE(values);
  EXPECT_EQ(values->number(0), 10'000);
  EXPECT_EQ(values->number(1), 5);
  EXPECT_EQ(values->text(2), "10.0.0.1/24");
  EXPECT_TRUE(values->given(0));
  EXPECT_FALSE(values->given(1));
}

TEST(SpecValues, UnknownTwiceOrOutOfRange_IsRefusedWithTheReason) {
  const auto what = [](const char* text) {
    const auto values = SpecValues::read(Spec::parse(text).value(), kTable);
    return values ? std::string() : values.error().what;
  };
  EXPECT_EQ(what("loop:los=1"), "a loop port has no option 'los'; it has: loss, delay, ip, size");
  EXPECT_EQ(what("loop:loss=0,loss=1"), "option loss is given twice");
  EXPECT_EQ(what("loop:loss=2"), "option loss: '2' is out of range (0 to 1)");
  EXPECT_EQ(what("loop:delay=fast"), "option delay: 'fast' is not a time with its unit like 10ms");
}

}  // namespace
}  // namespace ringway::port
