// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/map_attention.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "common/error.h"
#include "kernels/attention/map_attention_backend.h"
#include "kernels/attention/map_attention_reference.h"
#include "kernels/attention/widened_attention.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"
#include "tests/support/peak_memory.h"

namespace vrwkv::kernels {
namespace {

using test::relative_rms;

struct Case {
  std::int64_t images, rows, columns, window_rows, window_columns, heads, head_size;
};

struct Inputs {
  at::Tensor qkv, row_table, column_table, outside;
  Inputs to(const at::TensorOptions& options) const {
    return {qkv.to(options), row_table.to(options), column_table.to(options), outside.to(options)};
  }
};

Inputs random_inputs(const Case& c) {
  at::manual_seed(c.rows + 10 * c.columns);
  return {.qkv = at::randn({c.images, c.rows, c.columns, 3, c.heads, c.head_size}),
          .row_table = at::randn({2 * c.window_rows - 1, c.head_size}) * 0.1,
          .column_table = at::randn({2 * c.window_columns - 1, c.head_size}) * 0.1,
          .outside = at::randn({3, c.heads, c.head_size})};
}

at::Tensor attend(const Inputs& in) {
  return map_attention(in.qkv, in.row_table, in.column_table, in.outside);
}

at::Tensor reference(const Inputs& in) {
  const Inputs wide = in.to(at::kDouble);
  return map_attention_reference(wide.qkv, wide.row_table, wide.column_table, wide.outside);
}

const Case kCases[] = {
    {1, 1, 1, 1, 1, 1, 1},       //
    {2, 3, 5, 3, 5, 3, 16},      // the whole map, not square
    {1, 9, 7, 4, 3, 2, 8},       // windows over both edges, not square
    {1, 20, 20, 14, 14, 2, 64},  // SAM's windows
    {1, 17, 33, 17, 33, 1, 72},  // several tiles of keys, the last not full
    {1, 33, 32, 33, 32, 1, 20},  // more queries than a task takes
    {1, 2, 300, 2, 300, 1, 24},  // rows longer than a tile
    {3, 8, 8, 8, 8, 2, 32},      // the quick start's
};

class MapAttention : public testing::TestWithParam<Case> {};

TEST_P(MapAttention, MatchesExplicitScores) {
  const Inputs in = random_inputs(GetParam());
  const test::NanFilledFreshMemory fresh;
  // A product of 64 terms and a sum over all keys, both in fp32.
  EXPECT_LE(relative_rms(attend(in), reference(in)), 1e-6);
}

TEST_P(MapAttention, WidenedForLibTorchMatchesExplicitScores) {
  const Inputs in = random_inputs(GetParam());
  EXPECT_LE(relative_rms(widened_attention(in.qkv, in.row_table, in.column_table, in.outside), reference(in)),
            1e-6);
  EXPECT_LE(relative_rms(attend(in.to(at::kDouble)), reference(in)), 1e-14);
}

TEST_P(MapAttention, GivesTheSameBitsForEveryNumberOfThreads) {
  const Inputs in = random_inputs(GetParam());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = attend(in);
  at::set_num_threads(3);
  EXPECT_TRUE(attend(in).equal(one));
  at::set_num_threads(threads);
}

std::string case_name(const testing::TestParamInfo<Case>& tested) {
  const Case& c = tested.param;
  return fmt::format("I{}_{}x{}_windows{}x{}_H{}_N{}", c.images, c.rows, c.columns, c.window_rows,
                     c.window_columns, c.heads, c.head_size);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MapAttention, testing::ValuesIn(kCases), case_name);

TEST(MapAttentionScores, MayBeHuge) {
  Inputs in = random_inputs({1, 6, 6, 4, 4, 1, 32});
  in.qkv *= 100.0;
  // fp32 scores of 1e5 have steps of 0.008.
  EXPECT_LE(relative_rms(attend(in), reference(in)), 0.02);
  in.qkv[0][1][1][1][0][0] = NAN;
  const at::Tensor bad = attend(in).isnan().any(-1).view({6, 6});
  EXPECT_TRUE(bad.slice(0, 0, 4).slice(1, 0, 4).all().item<bool>()) << "a NaN of a key is seen in its window";
  EXPECT_EQ(bad.sum().item<std::int64_t>(), 16) << "and nowhere else";
}

TEST(MapAttentionMemory, IsTheResultAndNoScores) {
  const Case c{1, 64, 64, 64, 64, 2, 64};
  const Inputs in = random_inputs(c);
  const test::PeakMemory peak;
  const at::Tensor out = attend(in);
  const std::int64_t scores = c.heads * 4096 * 4096 * 4;
  // Besides the result each thread packs one head's keys and values: 2 MB.
  EXPECT_LE(peak.bytes(), out.numel() * 4 + at::get_num_threads() * (std::int64_t{5} << 19));
  EXPECT_LT(peak.bytes(), scores / 10);
}

TEST(MapAttentionTypes, OtherThanFp32AreTaken) {
  const Inputs in = random_inputs({1, 9, 7, 4, 3, 2, 8});
  EXPECT_LE(relative_rms(attend(in.to(at::kDouble)), reference(in)), 1e-14);
  // Computed in fp32, the result rounded by up to 2^-9.
  const Inputs low = in.to(at::kBFloat16);
  EXPECT_EQ(attend(low).scalar_type(), at::kBFloat16);
  EXPECT_LE(relative_rms(attend(low), reference(low)), 2e-3);
}

TEST(MapAttentionImages, MayBeNone) {
  EXPECT_EQ(attend(random_inputs({0, 3, 3, 2, 2, 2, 4})).sizes(), (std::vector<std::int64_t>{0, 3, 3, 2, 4}));
}

/// Each instruction set's own task, one by one, in scratch memory full of NaN.
template <class Tasks, class ScratchFloats, class Run>
at::Tensor by_tasks(const Inputs& in, const Case& c, Tasks tasks, ScratchFloats scratch_floats, Run run) {
  const at::Tensor out = at::full({c.images, c.rows, c.columns, c.heads, c.head_size}, NAN);
  const cpu::MapAttention call{.images = c.images,
                               .rows = c.rows,
                               .columns = c.columns,
                               .heads = c.heads,
                               .head_size = c.head_size,
                               .window_rows = c.window_rows,
                               .window_columns = c.window_columns,
                               .qkv = in.qkv.const_data_ptr<float>(),
                               .row_table = in.row_table.const_data_ptr<float>(),
                               .column_table = in.column_table.const_data_ptr<float>(),
                               .outside = in.outside.const_data_ptr<float>(),
                               .out = out.data_ptr<float>()};
  for (std::int64_t task = 0; task < tasks(call); ++task) {
    const at::Tensor scratch = at::full({scratch_floats(call)}, NAN);
    run(call, task, scratch.data_ptr<float>());
  }
  return out;
}

VRWKV_TEST_EACH_INSTRUCTION_SET(MapAttentionInstructionSets, MatchesExplicitScores, {
  for (const Case& c : kCases) {
    const Inputs in = random_inputs(c);
    const at::Tensor actual =
        by_tasks(in, c, set::attention_tasks, set::attention_scratch_floats, set::attention_task);
    EXPECT_LE(relative_rms(actual, reference(in)), 1e-6);
  }
})

TEST(MapAttentionArguments, AreRefusedWhenTheyDoNotFit) {
  const Inputs in = random_inputs({1, 4, 4, 2, 2, 2, 8});
  const auto refused = [&](auto change) {
    Inputs wrong = in;
    change(wrong);
    EXPECT_THROW(attend(wrong), ShapeError);
  };
  refused([](Inputs& x) { x.qkv = at::zeros({1, 4, 4, 2, 2, 8}); });
  refused([](Inputs& x) { x.qkv = at::zeros({1, 0, 4, 3, 2, 8}); });
  refused([](Inputs& x) { x.qkv = x.qkv.transpose(1, 2); });
  refused([](Inputs& x) { x.qkv = at::zeros({1, 4, 4, 3, 2, 8}, at::kLong); });
  refused([](Inputs& x) { x.qkv = at::Tensor(); });
  refused([](Inputs& x) { x.row_table = at::zeros({4, 8}); });
  refused([](Inputs& x) { x.column_table = at::zeros({3, 7}); });
  refused([](Inputs& x) { x.column_table = at::Tensor(); });
  refused([](Inputs& x) { x.outside = at::zeros({3, 1, 8}); });
  refused([](Inputs& x) { x.outside = x.outside.to(at::kDouble); });
  refused([](Inputs& x) { x.row_table = x.row_table.clone().requires_grad_(); });
}

}  // namespace
}  // namespace vrwkv::kernels
