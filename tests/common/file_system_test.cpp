// SPDX-License-Identifier: Apache-2.0
#include "common/file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "common/error.h"
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

TEST(WriteFileAtomically, ProcessesDoNotTearEachOthersFiles) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "file", stop = directory.path() / "stop";
  const std::string contents[] = {std::string(3'000'000, 'a'), std::string(2'000'000, 'b')};
  std::vector<::pid_t> writers;
  for (const std::string& content : contents) {
    const ::pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      try {
        while (!std::filesystem::exists(stop)) write_file_atomically(path, content);
      } catch (const std::exception&) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    writers.push_back(writer);
  }
  while (!std::filesystem::exists(path)) ::usleep(100);
  for (int i = 0; i < 200; ++i) {
    const std::string read = read_file(path);
    EXPECT_TRUE(read == contents[0] || read == contents[1]) << read.size();
  }
  std::ofstream(stop) << "now";
  for (const ::pid_t writer : writers) {
    int status = -1;
    EXPECT_EQ(::waitpid(writer, &status, 0), writer);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 2) << "partial files";
}

TEST(WriteFileAtomically, LeavesAPipeOrAFolderAlone) {
  const test::TemporaryDirectory directory;
  const auto pipe = directory.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(write_file_atomically(pipe, "content"), IoError);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_THROW(write_file_atomically(directory.path(), "content"), IoError);
}

}  // namespace
}  // namespace vrwkv
