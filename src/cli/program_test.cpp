#include "cli/program.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace ringway::cli {
namespace {

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string pattern = testing::TempDir() + "ringway-cli-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~ProgramTest() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const auto path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  /// The least that is an x86-64 program: a header and one segment of `type`.
  static std::string elf(std::uint32_t type, std::uint16_t machine = EM_X86_64) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = machine;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    Elf64_Phdr segment{};
    segment.p_type = type;
    std::string bytes(sizeof header + sizeof segment, '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &segment, sizeof segment);
    return bytes;
  }
  static std::string refusal(const std::string& path) {
    const auto result = check_loadable(path);
    return result ? std::string() : result.error().what;
  }

  std::string directory_;
};

TEST_F(ProgramTest, CheckLoadable_DynamicProgram_IsAccepted) {
  EXPECT_EQ(refusal("/bin/sh"), "");
  EXPECT_EQ(refusal(file("dynamic", elf(PT_INTERP))), "");
}

TEST_F(ProgramTest, CheckLoadable_StaticProgram_SaysWhatToDo) {
  const auto what = refusal(file("static", elf(PT_LOAD)));
  EXPECT_NE(what.find("statically linked"), std::string::npos);
  EXPECT_EQ(what.find('\n'), std::string::npos);
}

TEST_F(ProgramTest, CheckLoadable_OtherMachine_IsRefused) {
  EXPECT_NE(refusal(file("arm", elf(PT_INTERP, EM_AARCH64))).find("another machine"),
            std::string::npos);
}

TEST_F(ProgramTest, CheckLoadable_CutOffOrNoProgram_IsRefused) {
  const auto whole = elf(PT_INTERP);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(refusal(file("cut", whole.substr(0, length))), "") << length;
  }
  EXPECT_NE(refusal(file("text", "hello")), "");
}

TEST_F(ProgramTest, CheckLoadable_SetUserId_IsRefused) {
  const auto path = file("suid", elf(PT_INTERP));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 12345, 12345), 0);
  }
  ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
  // Of one's own user the bit changes nothing.
  if (::geteuid() == 0) {
    EXPECT_NE(refusal(path).find("changes its user"), std::string::npos);
  } else {
    EXPECT_EQ(refusal(path), "");
    EXPECT_NE(refusal("/bin/su"), "");
  }
}

TEST_F(ProgramTest, CheckLoadable_Script_IsJudgedByItsInterpreter) {
  EXPECT_EQ(refusal(file("good", "#!/bin/sh\necho\n")), "");
  EXPECT_EQ(refusal(file("env", "#! /usr/bin/env -S X=1 sh -e\necho\n")), "");
  const auto fixed = file("static", elf(PT_LOAD));
  EXPECT_NE(refusal(file("bad", "#!" + fixed + "\n")).find("statically"), std::string::npos);
  EXPECT_NE(refusal(file("empty", "#!\n")), "");
  const auto self = directory_ + "/self";
  EXPECT_NE(refusal(file("self", "#!" + self + "\n")).find("too many"), std::string::npos);
}

TEST_F(ProgramTest, FindProgram_LooksAlongPath) {
  file("tool", "#!/bin/sh\n");
  file("plain", "data", 0644);
  const std::string before = ::getenv("PATH");
  ::setenv("PATH", ("/nowhere:" + directory_).c_str(), 1);
  EXPECT_EQ(find_program("tool").value(), directory_ + "/tool");
  EXPECT_EQ(find_program("plain").error().code, base::ErrorCode::kNotFound);
  EXPECT_EQ(find_program(directory_ + "/plain").error().code, base::ErrorCode::kPermission);
  EXPECT_EQ(find_program("").error().code, base::ErrorCode::kNotFound);
  ::setenv("PATH", before.c_str(), 1);
}

}  // namespace
}  // namespace ringway::cli
