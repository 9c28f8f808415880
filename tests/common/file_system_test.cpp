// SPDX-License-Identifier: Apache-2.0
#include "common/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>

#include "tests/support/temporary_directory.h"

namespace vrwkv {
namespace {

TEST(WriteAll, BringsMoreThanAPipeHolds) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const FileDescriptor from(ends[0]);
  FileDescriptor to(ends[1]);
  std::string content(1'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i % 251);
  std::thread writer([&] {
    EXPECT_TRUE(write_all(to.get(), content));
    to = FileDescriptor();
  });
  std::string read;
  std::array<char, 4099> some{};
  for (ssize_t got = 0; (got = ::read(from.get(), some.data(), some.size())) > 0;)
    read.append(some.data(), static_cast<std::size_t>(got));
  writer.join();
  EXPECT_TRUE(read == content);
}

TEST(WriteAll, SaysWhyItCannot) {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_FALSE(write_all(full.get(), "a"));
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_TRUE(write_all(full.get(), ""));
}

// The system takes what fits, and says so; only the next write fails.
TEST(WriteAll, TakesAPartForNoSuccess) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ::rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit limit{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const bool is_written = write_all(file.get(), std::string(150, 'x'));
  const int reason = errno;
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(is_written);
  EXPECT_EQ(reason, EFBIG);
  EXPECT_EQ(std::filesystem::file_size(path), 100U);
}

TEST(ModificationTime, CountsNanoseconds) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  write_file_atomically(path, "content");
  const std::array<timespec, 2> times = {timespec{1, 2}, timespec{1'234'567'890, 987'654'321}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(modification_time_ns(status), 1'234'567'890'987'654'321);
}

}  // namespace
}  // namespace vrwkv
