// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "common/error.h"
#include "common/file_system.h"
#include "common/hdf5/file.h"
#include "tests/support/temporary_directory.h"

namespace vrwkv::hdf5 {
namespace {

std::vector<float> counting(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

TEST(Hdf5File, ReadsBackWhatItWrote) {
  const test::TemporaryDirectory folder;
  const auto path = folder.path() / "a.h5";
  File out = File::create(path);
  out.write("/samples/0/logits", counting(6), {2, 3});
  out.write("/samples/0/token_ids", std::vector<std::int64_t>{7, 8}, {2});
  out.write_attribute("/samples", "note", "two words");
  out.close();
  const File in = File::open(path);
  EXPECT_EQ(in.dims("/samples/0/logits"), (Dims{2, 3}));
  EXPECT_EQ(in.read_floats("/samples/0/logits"), counting(6));
  EXPECT_EQ(in.read_integers("/samples/0/token_ids"), (std::vector<std::int64_t>{7, 8}));
  EXPECT_EQ(in.read_text_attribute("/samples", "note"), "two words");
  EXPECT_TRUE(in.has("/samples/0/logits"));
  EXPECT_FALSE(in.has("/samples/1/logits"));
}

// Rows lie where row_offsets() says, in a file that the library has closed.
TEST(Hdf5File, RowsCanBeReadWithoutTheLibrary) {
  const test::TemporaryDirectory folder;
  const auto path = folder.path() / "rows.h5";
  const auto values = counting(5 * 2 * 3);
  const auto all = std::as_bytes(std::span(values));
  File out = File::create(path);
  out.create_rows("/store/features", RowElement::kFloat32, {5, 2, 3});
  for (std::size_t row : {4U, 0U, 2U, 1U, 3U})
    out.write_row("/store/features", static_cast<std::int64_t>(row), all.subspan(row * 24, 24));
  EXPECT_THROW(out.write_row("/store/features", 0, all.first(20)), ShapeError);
  EXPECT_THROW(out.write_row("/store/features", 5, all.first(24)), ShapeError);
  out.write_texts("/store/names", {"a.jpg", "", "\u00e9/\u4e2d.png"});
  out.write_texts("/store/none", {});
  out.close();

  const std::string bytes = read_file(path);
  const File in = File::open(path);
  EXPECT_EQ(in.read_floats("/store/features"), values);
  const auto offsets = in.row_offsets("/store/features");
  ASSERT_EQ(offsets.size(), 5U);
  for (std::size_t row = 0; row < 5; ++row)
    EXPECT_EQ(std::memcmp(bytes.data() + offsets[row], all.data() + row * 24, 24), 0) << row;
  EXPECT_EQ(in.read_texts("/store/names"), (std::vector<std::string>{"a.jpg", "", "\u00e9/\u4e2d.png"}));
  EXPECT_TRUE(in.read_texts("/store/none").empty());
}

TEST(Hdf5File, NeverOverwritesAndNamesTheReason) {
  const test::TemporaryDirectory folder;
  File::create(folder.path() / "a.h5").close();
  EXPECT_THROW(File::create(folder.path() / "a.h5"), IoError);
  EXPECT_THROW(File::open(folder.path() / "none.h5"), IoError);
  const File in = File::open(folder.path() / "a.h5");
  EXPECT_THROW(in.read_floats("/missing"), IoError);
}

// Every cut of a tensor of three dimensions into two files reads back whole.
TEST(Hdf5File, VirtualDatasetJoinsAnyCut) {
  const test::TemporaryDirectory folder;
  const auto values = counting(2 * 3 * 4);
  for (std::int64_t cut = 0; cut <= 24; ++cut) {
    const std::string a = fmt::format("a{}.h5", cut);
    const std::string b = fmt::format("b{}.h5", cut);
    const std::span all(values);
    File first = File::create(folder.path() / a);
    first.write("/flat", all.first(static_cast<std::size_t>(cut)), {cut});
    first.close();
    File second = File::create(folder.path() / b);
    second.write("/flat", all.subspan(static_cast<std::size_t>(cut)), {24 - cut});
    second.close();
    File index = File::create(folder.path() / fmt::format("i{}.h5", cut));
    index.write_virtual("/t", {2, 3, 4},
                        {{a, "/flat", cut, 0, 0, cut}, {b, "/flat", 24 - cut, 0, cut, 24 - cut}});
    index.close();
    const File in = File::open(folder.path() / fmt::format("i{}.h5", cut));
    EXPECT_EQ(in.read_floats("/t"), values) << "cut at " << cut;
  }
}

TEST(Hdf5File, VirtualDatasetShowsAnotherFilesTensor) {
  const test::TemporaryDirectory folder;
  File source = File::create(folder.path() / "a.h5");
  source.write("/t", counting(6), {2, 3});
  source.close();
  File index = File::create(folder.path() / "i.h5");
  index.write_virtual_whole("/group/t", {2, 3}, "a.h5", "/t");
  index.close();
  const File in = File::open(folder.path() / "i.h5");
  EXPECT_EQ(in.dims("/group/t"), (Dims{2, 3}));
  EXPECT_EQ(in.read_floats("/group/t"), counting(6));
}

TEST(Hdf5File, ReadsARangeOnly) {
  const test::TemporaryDirectory folder;
  File out = File::create(folder.path() / "a.h5");
  out.write("/flat", counting(100), {100});
  out.close();
  std::vector<float> part(3);
  File::open(folder.path() / "a.h5").read_range("/flat", 42, part);
  EXPECT_EQ(part, (std::vector<float>{42, 43, 44}));
}

}  // namespace
}  // namespace vrwkv::hdf5
