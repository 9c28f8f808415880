// SPDX-License-Identifier: Apache-2.0
#include "data/storage/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/error.h"
#include "common/file_system.h"
#include "data/storage/tar_store.h"
#include "tests/data/storage/storage_test_support.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::data {
namespace {

using test::text_of;
using ::testing::HasSubstr;

template <class Work>
std::string refusal(Work&& work) {
  try {
    work();
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class ImageStoreTest : public testing::Test {
 protected:
  /// Shards 0 and 1 of three files; both have both.jpg.
  ImageStoreTest() {
    test::write_file(path("0/coco/a.jpg"), "first");
    test::write_file(path("0/both.jpg"), "from 0");
    test::write_file(path("1/both.jpg"), "from 1");
    test::write_file(path("1/b.jpg"), std::string(100'000, 'b'));
    test::write_file(path("1/empty.jpg"), "");
    test::pack_tar(path("x-0.tar"), path("0"));
    test::pack_tar(path("x-1.tar"), path("1"));
  }
  /// Makes a file of zeros that takes no room. @return its time of change, in nanoseconds since 1970.
  std::int64_t sparse_file(const std::string& name, std::uint64_t bytes) const {
    test::write_file(path(name), "");
    std::filesystem::resize_file(path(name), bytes);
    struct stat status {};
    EXPECT_EQ(::stat(path(name).c_str(), &status), 0);
    return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  }
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }

  test::TemporaryDirectory folder_;
};

TEST_F(ImageStoreTest, ReadAFolder) {
  const auto store = open_image_store({path("0")});
  EXPECT_EQ(text_of(store->read("coco/a.jpg")), "first");
  EXPECT_EQ(store->describe("coco/a.jpg"), path("0/coco/a.jpg"));
  EXPECT_THAT(refusal([&] { store->read("c.jpg"); }), HasSubstr("No such file"));
  EXPECT_THAT(refusal([&] { store->read("coco"); }), HasSubstr("cannot be read"));
  EXPECT_THAT(refusal([&] { open_image_store({path("1")})->read("empty.jpg"); }), HasSubstr("is empty"));
}

TEST_F(ImageStoreTest, ReadOneShardOrAll) {
  const auto one = open_image_store({path("x-0.tar")});
  EXPECT_EQ(text_of(one->read("coco/a.jpg")), "first");
  EXPECT_EQ(text_of(one->read("both.jpg")), "from 0");
  EXPECT_THAT(refusal([&] { one->read("b.jpg"); }), HasSubstr("not among the 2 files of 1 tar shards"));

  const auto all = open_image_store({path("x-*.tar")});
  EXPECT_EQ(text_of(all->read("coco/a.jpg")), "first");
  EXPECT_EQ(text_of(all->read("both.jpg")), "from 1");
  EXPECT_EQ(text_of(all->read("b.jpg")), std::string(100'000, 'b'));
  EXPECT_EQ(all->describe("b.jpg"), path("x-1.tar").string() + ": b.jpg");
  EXPECT_THAT(refusal([&] { all->read("empty.jpg"); }), HasSubstr("x-1.tar: empty.jpg: is empty"));
}

TEST_F(ImageStoreTest, SayWhatIsMissing) {
  EXPECT_THAT(refusal([&] { open_image_store({path("y-*.tar")}); }), HasSubstr("no file fits this pattern"));
  EXPECT_THAT(refusal([&] { open_image_store({path("nowhere/*.tar")}); }),
              HasSubstr("nowhere: cannot be read"));
  EXPECT_THAT(refusal([&] { open_image_store({path("y.tar")}); }), HasSubstr("y.tar: cannot be read"));
  test::write_file(path("y.tar"), "not a tar file");
  EXPECT_THAT(refusal([&] { open_image_store({path("y.tar")}); }), HasSubstr("y.tar: tar file is truncated"));
}

TEST_F(ImageStoreTest, AreSharedBySourcesOfOneFolder) {
  const ImageStores stores = open_image_stores({{path("x-1.tar")}, {path("0")}, {path("x-1.tar")}});
  ASSERT_EQ(stores.size(), 3U);
  EXPECT_EQ(stores[0], stores[2]);
  EXPECT_NE(stores[0], stores[1]);
  EXPECT_EQ(text_of(stores[2]->read("both.jpg")), "from 1");
}

TEST_F(ImageStoreTest, APatternLeavesOutWhatLiesBesideShards) {
  test::write_file(path("x-1.tar.index.partial-host-7"), "half");
  test::pack_tar(path("x-2-without-suffix"), path("0"));
  for (const char* time : {"before there are indexes", "after"}) {
    const auto store = open_image_store({path("x-*")});
    EXPECT_EQ(text_of(store->read("both.jpg")), "from 0") << time;
    EXPECT_TRUE(std::filesystem::exists(path("x-0.tar.index")));
    EXPECT_TRUE(std::filesystem::exists(path("x-2-without-suffix.index")));
  }
}

TEST_F(ImageStoreTest, FoldersThatAreRequiredHaveToBeThere) {
  require_image_folders({{}, {path("0"), path("x-*.tar")}, {path("none.tar")}});
  EXPECT_THAT(refusal([&] {
                require_image_folders({{path("0")}, {path("1"), path("gone")}});
              }),
              HasSubstr("gone: is no folder (No such file or directory). Check [data] image_folder."));
  EXPECT_THAT(refusal([&] { require_image_folders({{path("0/both.jpg")}}); }), HasSubstr("is no folder"));
}

TEST_F(ImageStoreTest, MakeAnIndexOnce) {
  open_image_store({path("x-1.tar")});
  const std::string index = read_file(path("x-1.tar.index"));
  // A tar file of the same size and time whose headers are gone can still be read: nobody looked at them.
  const auto time = std::filesystem::last_write_time(path("x-1.tar"));
  std::string tar = read_file(path("x-1.tar"));
  for (const TarPlace& place : index_tar(path("x-1.tar")))
    tar.replace(place.offset - 512, 512, std::string(512, '\xff'));
  test::write_file(path("x-1.tar"), tar);
  std::filesystem::last_write_time(path("x-1.tar"), time);
  EXPECT_EQ(text_of(open_image_store({path("x-1.tar")})->read("both.jpg")), "from 1");
  // With a damaged index they are looked at.
  test::write_file(path("x-1.tar.index"), index.substr(0, index.size() - 1));
  EXPECT_THAT(refusal([&] { open_image_store({path("x-1.tar")}); }), HasSubstr("no tar header"));
}

TEST_F(ImageStoreTest, NoticeAChangedShard) {
  EXPECT_EQ(text_of(open_image_store({path("x-0.tar")})->read("both.jpg")), "from 0");
  std::filesystem::copy_file(path("x-1.tar"), path("x-0.tar"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(text_of(open_image_store({path("x-0.tar")})->read("both.jpg")), "from 1");
}

/// One data file may have some images in shards and others in a folder.
TEST_F(ImageStoreTest, MayBeSeveralPlaces) {
  const auto store = open_image_store({path("x-0.tar"), path("1")});
  EXPECT_EQ(text_of(store->read("coco/a.jpg")), "first");
  EXPECT_EQ(text_of(store->read("both.jpg")), "from 0") << "the first that has it";
  EXPECT_EQ(store->size("b.jpg"), 100'000U);
  EXPECT_EQ(store->describe("both.jpg"), path("x-0.tar").string() + ": both.jpg");
  EXPECT_EQ(store->describe("b.jpg"), path("1/b.jpg"));
  EXPECT_FALSE(store->has("gone.jpg"));
  EXPECT_THAT(refusal([&] { store->read("gone.jpg"); }), HasSubstr("gone.jpg: is in none of the 2 places"));
  const auto other = open_image_store({path("1"), path("x-0.tar")});
  EXPECT_EQ(text_of(other->read("both.jpg")), "from 1");
}

TEST_F(ImageStoreTest, KnowSizesWithoutReading) {
  for (const char* where : {"0", "x-0.tar"}) {
    const auto store = open_image_store({path(where)});
    EXPECT_EQ(store->size("coco/a.jpg"), 5U);
    EXPECT_EQ(store->size("b.jpg"), std::nullopt);
    EXPECT_EQ(store->size("both.jpg/c.jpg"), std::nullopt);
    EXPECT_EQ(store->size(std::string(5000, 'n')), std::nullopt);
  }
}

TEST_F(ImageStoreTest, AFolderIsNoImageButIsThere) {
  EXPECT_EQ(open_image_store({path("0")})->size("coco"), 0U);
  EXPECT_TRUE(open_image_store({path("0")})->has("coco"));
  EXPECT_FALSE(open_image_store({path("0")})->has("gone"));
}

/// A file can say that it is larger than any memory and take no room on the disk.
TEST_F(ImageStoreTest, RefuseWhatNoImageIsLargeEnoughFor) {
  std::filesystem::resize_file(path("0/both.jpg"), kMostImageBytes + 1);
  EXPECT_THAT(refusal([&] { open_image_store({path("0")})->read("both.jpg"); }),
              HasSubstr("has 268435457 bytes (an image file may have 268435456)"));
  std::filesystem::resize_file(path("0/both.jpg"), std::uintmax_t{1} << 42);
  EXPECT_THAT(refusal([&] { open_image_store({path("0")})->read("both.jpg"); }), HasSubstr("4398046511104"));
  // The same as a member of a tar file: its header, and room that is not taken.
  constexpr std::uint64_t kTarBytes = 3 * kMostImageBytes;
  test::write_file(path("y.tar.index"), write_tar_index({{key_of("a.jpg"), 512, 2 * kMostImageBytes}},
                                                        kTarBytes, sparse_file("y.tar", kTarBytes)));
  EXPECT_THAT(refusal([&] { open_image_store({path("y.tar")})->read("a.jpg"); }),
              HasSubstr("y.tar: a.jpg: has"));
}

TEST_F(ImageStoreTest, AreNotReadFromPipesAndFolders) {
  ASSERT_EQ(::mkfifo(path("0/pipe.jpg").c_str(), 0600), 0);
  EXPECT_THAT(refusal([&] { open_image_store({path("0")})->read("pipe.jpg"); }), HasSubstr("cannot be read"));
  EXPECT_THAT(refusal([&] { open_image_store({path("0")})->read(std::string(5000, 'n')); }),
              HasSubstr("File name too long"));
}

/// Too many open files say nothing about an image: the sample is not bad.
TEST_F(ImageStoreTest, TellAnErrorOfTheMachineFromABadImage) {
  const auto folder = open_image_store({path("0")});
  const auto tar = open_image_store({path("x-0.tar")});
  // The undefined-behaviour sanitizer looks at each class of errors once, for which it needs a pipe.
  EXPECT_THROW(throw IoError("as those below"), IoError);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{3, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_THROW(folder->read("coco/a.jpg"), IoError);
  EXPECT_THROW(tar->read("coco/a.jpg"), IoError);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(text_of(folder->read("coco/a.jpg")), "first");
  EXPECT_EQ(text_of(tar->read("coco/a.jpg")), "first");
}

TEST(IsFaultOfFile, OfWhatAnotherFileWouldNotHave) {
  for (const int error : {ENOENT, ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP, ENXIO, EACCES, EPERM})
    EXPECT_TRUE(is_fault_of_file(error)) << error;
  for (const int error : {0, EIO, EMFILE, ENFILE, ENOMEM, ESTALE, ETIMEDOUT, ENOTCONN})
    EXPECT_FALSE(is_fault_of_file(error)) << error;
}

TEST_F(ImageStoreTest, TakeWhatMayNotBeReadForABadImage) {
  using std::filesystem::perms;
  std::filesystem::permissions(folder_.path(), perms::owner_all | perms::others_exec);
  std::filesystem::permissions(path("0/both.jpg"), perms::none);
  std::filesystem::permissions(path("1"), perms::none);
  const auto read = [&](const char* name) {
    return refusal([&] { FolderStore(folder_.path()).read(name); });
  };
  const bool is_root = ::geteuid() == 0;  // who may read anything
  if (is_root && ::seteuid(65534) != 0) GTEST_SKIP() << "cannot be another user than root";
  const std::string file = read("0/both.jpg"), below = read("1/b.jpg");
  const auto size = FolderStore(folder_.path()).size("1/b.jpg");
  if (is_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  std::filesystem::permissions(path("1"), perms::owner_all);
  EXPECT_THAT(file, HasSubstr("0/both.jpg: cannot be read (Permission denied). Check the image folder"));
  EXPECT_THAT(below, HasSubstr("1/b.jpg: cannot be read (Permission denied)"));
  EXPECT_EQ(size, 0U) << "it may be there";
}

TEST(TarIndex, RefusesWhatIsNoIndex) {
  const std::vector<TarPlace> places = {{{1, 2}, 512, 100}, {{3, 4}, 1536, 488}};
  const std::string good = write_tar_index(places, 2024, 7);
  ASSERT_TRUE(parse_tar_index(good, 2024, 7));
  EXPECT_EQ(parse_tar_index(good, 2024, 7)->at(1).offset, 1536U);
  EXPECT_FALSE(parse_tar_index(good, 2025, 7));
  EXPECT_FALSE(parse_tar_index(good, 2024, 8));
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(parse_tar_index(good.substr(0, length), 2024, 7));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_FALSE(parse_tar_index(flipped, 2024, 7)) << i;
  }
  EXPECT_FALSE(parse_tar_index(write_tar_index(places, 2023, 7), 2023, 7)) << "a member beyond the end";
}

}  // namespace
}  // namespace vrwkv::data
