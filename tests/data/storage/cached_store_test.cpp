// SPDX-License-Identifier: Apache-2.0
#include "data/storage/cached_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "common/error.h"
#include "common/random.h"
#include "tests/data/storage/storage_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

namespace fs = std::filesystem;
using test::text_of;

/// Any name but "none" is there, as a thousand bytes; counts what is read.
class CountingStore final : public ImageStore {
 public:
  std::vector<std::uint8_t> read(const std::string& name) const override {
    const std::lock_guard guard(mutex_);
    if (name == "none") throw DataError("none: is not there");
    ++reads[name];
    return content(name);
  }
  std::optional<std::uint64_t> size(const std::string& name) const override {
    return name == "none" ? std::nullopt : std::optional<std::uint64_t>(1000);
  }
  std::string describe(const std::string& name) const override { return "there/" + name; }
  static std::vector<std::uint8_t> content(const std::string& name) {
    std::vector<std::uint8_t> bytes(1000);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::uint8_t>(name[i % name.size()] + i);
    return bytes;
  }

  mutable std::map<std::string, int> reads;

 private:
  mutable std::mutex mutex_;
};

class CachedStores : public testing::Test {
 protected:
  CachedStore open(std::uint64_t limit, const std::string& identity = "store") const {
    return {store_, identity, folder_.path() / "cache", limit};
  }
  std::vector<fs::path> entries() const {
    std::vector<fs::path> files;
    for (const auto& file : fs::recursive_directory_iterator(folder_.path() / "cache"))
      if (file.is_regular_file() && file.path().filename() != "tally") files.push_back(file.path());
    return files;
  }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const fs::path& file : entries()) sum += fs::file_size(file);
    return sum;
  }

  test::TemporaryDirectory folder_;
  std::shared_ptr<const CountingStore> store_ = std::make_shared<CountingStore>();
};

TEST_F(CachedStores, ReadEachFileOnce) {
  for (int i = 0; i < 2; ++i) {
    const CachedStore cache = open(1 << 20);
    for (const char* name : {"a", "b", "a", "c/d.jpg"})
      EXPECT_EQ(cache.read(name), CountingStore::content(name));
    EXPECT_EQ(cache.describe("a"), "there/a");
    EXPECT_THROW(cache.read("none"), DataError);
  }
  for (const auto& [name, count] : store_->reads) EXPECT_EQ(count, 1) << name;
  open(1 << 20, "another").read("a");
  EXPECT_EQ(store_->reads.at("a"), 2) << "stores are told apart";
}

TEST_F(CachedStores, StandBeforeAFolder) {
  const fs::path file = test::write_file(folder_.path() / "images" / "a.jpg", "pixels");
  const ImageCache cache{folder_.path() / "cache", 1 << 20};
  EXPECT_EQ(text_of(open_image_store({file.parent_path()}, cache)->read("a.jpg")), "pixels");
  fs::remove(file);
  EXPECT_EQ(text_of(open_image_store({file.parent_path()}, cache)->read("a.jpg")), "pixels");
  EXPECT_THROW(open_image_store({file.parent_path()})->read("a.jpg"), DataError);
}

TEST_F(CachedStores, ReadADamagedEntryAgain) {
  const CachedStore cache = open(1 << 20);
  const auto damage = [&](auto change) {
    cache.read("a");
    change(entries().at(0));
    store_->reads.clear();
    EXPECT_EQ(cache.read("a"), CountingStore::content("a"));
    EXPECT_EQ(store_->reads["a"], 1);
    EXPECT_EQ(entries().size(), 1U);
  };
  damage([](const fs::path& file) { fs::resize_file(file, 0); });
  damage([](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 1); });
  damage([](const fs::path& file) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(500);
    stream.put('\xff');
  });
  damage([](const fs::path& file) { fs::remove(file); });
}

TEST_F(CachedStores, DropWhatWasUsedLongestAgo) {
  constexpr std::uint64_t kLimit = 20'000;
  const CachedStore cache = open(kLimit);
  for (int i = 0; i < 60; ++i) {
    cache.read("file" + std::to_string(i));
    EXPECT_LE(bytes(), kLimit);
    cache.read("often");
    // Times of use that a file system with coarse ones tells apart.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(bytes(), kLimit * 7 / 8 - 2000);
  EXPECT_EQ(store_->reads.at("often"), 1);
  cache.read("file0");
  EXPECT_EQ(store_->reads.at("file0"), 2);
  cache.read("file59");
  EXPECT_EQ(store_->reads.at("file59"), 1);
}

TEST_F(CachedStores, LeaveOutWhatIsTooLarge) {
  const CachedStore cache = open(4000);
  EXPECT_EQ(cache.read("a"), CountingStore::content("a"));
  EXPECT_TRUE(entries().empty());
}

TEST_F(CachedStores, CountAgainWhenTheTallyIsTorn) {
  open(20'000).read("a");
  test::write_file(folder_.path() / "cache" / "tally", "x");
  const CachedStore cache = open(20'000);
  for (int i = 0; i < 60; ++i) cache.read("file" + std::to_string(i));
  EXPECT_LE(bytes(), 20'000U);
}

TEST_F(CachedStores, MayBeSharedByProcesses) {
  constexpr std::uint64_t kLimit = 40'000;
  std::vector<pid_t> children;
  for (int child = 0; child < 3; ++child) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      const CachedStore cache = open(kLimit);
      bool good = true;
      for (std::uint64_t i = 0; i < 400; ++i) {
        const std::string name =
            "file" + std::to_string(mix64(i * 3 + static_cast<std::uint64_t>(child)) % 60);
        good = good && cache.read(name) == CountingStore::content(name);
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = -1;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  // What was on its way while another process made room: at most one entry each.
  EXPECT_LE(bytes(), kLimit + 3 * 1100);
  EXPECT_GE(entries().size(), 20U);
}

}  // namespace
}  // namespace vrwkv::data
