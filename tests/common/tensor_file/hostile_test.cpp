// SPDX-License-Identifier: Apache-2.0
// Files that somebody made to harm: pickles that call, grow or point elsewhere, and headers that overflow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/tensor_file/tensor_file.h"
#include "common/tensor_file/zip_writer.h"

namespace vrwkv::tensor_file {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <class Number>
std::string raw(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// The words of a pickle, protocol 2.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) joined += part;
  return joined;
}
std::string text(const std::string& value) {
  return join({"X", raw(static_cast<std::uint32_t>(value.size())), value});
}
std::string integer(std::int64_t value) { return join({"\x8a\x08", raw(value)}); }
std::string tuple(std::initializer_list<std::string_view> items) { return join({"(", join(items), "t"}); }
std::string integers(const std::vector<std::int64_t>& values) {
  std::string items;
  for (const std::int64_t value : values) items += integer(value);
  return tuple({items});
}
std::string global(const std::string& module, const std::string& name) {
  return join({"c", module, "\n", name, "\n"});
}
/// A tensor in a storage of four fp32 elements.
std::string tensor(std::int64_t offset, const std::vector<std::int64_t>& shape,
                   const std::vector<std::int64_t>& strides, const std::string& storage = "0") {
  const std::string id =
      tuple({text("storage"), global("torch", "FloatStorage"), text(storage), text("cpu"), integer(4)});
  return join({global("torch._utils", "_rebuild_tensor_v2"),
               tuple({id, "Q", integer(offset), integers(shape), integers(strides), "\x89", "}"}), "R"});
}
std::string dictionary(const std::string& value) { return join({"}", text("weight"), value, "s"}); }

/// torch.save's archive around a pickle.
std::filesystem::path write_archive(const std::string& pickle) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "hostile.pth";
  ZipWriter archive(path, "archive");
  archive.add("data.pkl", join({"\x80\x02", pickle, "."}));
  archive.add("data/0", std::string(16, '\0'));
  archive.finish();
  return path;
}

/// "EXIT_CODE message", or "read".
std::string outcome(const std::string& pickle) {
  try {
    TensorFile::open(write_archive(pickle));
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.exit_code())) + " " + error.what();
  }
  return "read";
}

TEST(HostilePickle, TheSameWordsMakeAHarmlessOne) {
  EXPECT_EQ(outcome(dictionary(tensor(0, {2, 2}, {2, 1}))), "read");
}

TEST(HostilePickle, CallsNothing) {
  for (const auto& [module, name] : {std::pair("os", "system"), std::pair("builtins", "eval"),
                                     std::pair("builtins", "getattr"), std::pair("torch", "load")}) {
    const std::string call = join({global(module, name), tuple({text("true")}), "R"});
    EXPECT_THAT(outcome(dictionary(call)),
                AllOf(StartsWith("4 "), HasSubstr(name), HasSubstr("nothing was run")));
  }
  // INST, OBJ, NEWOBJ, EXT1: no such operations.
  for (const char* operation : {"(ios\nsystem\n", "(cos\nsystem\no", "cos\nsystem\n)\x81", "\x82\x01"})
    EXPECT_THAT(outcome(operation), AllOf(StartsWith("4 "), HasSubstr("uses operation")));
  EXPECT_THAT(outcome("\x8c\x02os\x8c\x06system\x93)R"), HasSubstr("would call os.system"));
}

TEST(HostilePickle, ReachesNowhereElse) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  for (const std::string& beyond :
       {tensor(1, {2, 2}, {2, 1}), tensor(-1, {2, 2}, {2, 1}), tensor(kHuge, {1}, {1}),
        tensor(3, {2, 2}, {-2, -1}), tensor(0, {kHuge, kHuge}, {kHuge, 1}), tensor(0, {kHuge, kHuge}, {0, 0}),
        tensor(0, {0, kHuge}, {0, kHuge}), tensor(0, {1 << 20}, {0}), tensor(0, {-1}, {1}),
        tensor(0, {4}, {1, 1}), tensor(4, {}, {})})
    EXPECT_THAT(outcome(dictionary(beyond)), AllOf(StartsWith("4 "), HasSubstr("reaches beyond")));
  EXPECT_THAT(outcome(dictionary(tensor(0, {4}, {1}, "../data.pkl"))), HasSubstr("storage is missing"));
}

TEST(HostilePickle, DoesNotGrowWithoutBound) {
  constexpr std::size_t kMany = 3'000'000;
  EXPECT_THAT(outcome(std::string("N").append(kMany, '\x94')), HasSubstr("remembers too much"));
  EXPECT_THAT(outcome(std::string(kMany, '(')), HasSubstr("nests too deeply"));
  EXPECT_THAT(outcome(std::string(kMany, 'N')), HasSubstr("more than"));
}

TEST(HostilePickle, NestsAsDeepAsItLikes) {
  constexpr std::size_t kDeep = 1'000'000;
  EXPECT_THAT(outcome(join({std::string(kDeep, ']'), std::string(kDeep - 1, 'a')})), StartsWith("2 "));
  EXPECT_THAT(outcome(join({"}q\x01", text("state_dict"), "h\x01s"})), StartsWith("2 "));
}

TEST(RepeatedElements, AreReadButNotMoreThanTheFileHasRoomFor) {
  const TensorFile file = TensorFile::open(write_archive(dictionary(tensor(1, {5, 3}, {0, 1}))));
  EXPECT_EQ(file.tensors().at(0).numel(), 15);
  EXPECT_EQ(file.tensors().at(0).span_bytes(), 12U);
  file.drop(file.tensors().at(0));  // nothing that is not the file's
}

TEST(EmptyTensors, AreReadWhateverTheOtherSizes) {
  const TensorFile file = TensorFile::open(write_archive(dictionary(tensor(4, {5, 0, 3}, {3, 3, 1}))));
  EXPECT_EQ(file.tensors().at(0).numel(), 0);
  EXPECT_EQ(file.tensors().at(0).span_bytes(), 0U);
}

TEST(HostileSafetensors, ASizeOf0HidesNoHugeOnes) {
  std::string sizes = "0";
  for (int i = 0; i < 31; ++i) sizes += ",200";  // strides of 200^31
  const std::string header =
      join({R"({"a":{"dtype":"F32","shape":[)", sizes, R"(],"data_offsets":[0,0]}})", std::string(200, ' ')});
  try {
    parse(join({raw(static_cast<std::uint64_t>(header.size())), header}), "file");
    FAIL() << "nothing was thrown";
  } catch (const CheckpointError& error) {
    EXPECT_THAT(error.what(), HasSubstr("larger than the file"));
  }
}

}  // namespace
}  // namespace vrwkv::tensor_file
