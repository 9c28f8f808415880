// SPDX-License-Identifier: Apache-2.0
// Each operator of kernels/ with arguments that it takes, for tests that make them worse.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "kernels/attention/map_attention.h"
#include "kernels/column_sums/column_sums.h"
#include "kernels/cross_entropy/head_cross_entropy.h"
#include "kernels/fp32_product/fp32_product.h"
#include "kernels/norm_bonus_gate/norm_bonus_gate.h"
#include "kernels/norm_shift_mix/norm_shift_mix.h"
#include "kernels/relu_squared/relu_squared.h"
#include "kernels/squared_norm/squared_norm.h"
#include "kernels/time_mix_operands/time_mix_operands.h"
#include "kernels/tree_sum/tree_sum.h"
#include "kernels/wkv6/wkv6.h"
#include "kernels/wkv7/wkv7.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::test {

using Tensors = std::vector<at::Tensor>;

struct OperatorArgument {
  std::string name;      // as errors have it
  at::Tensor good;       // on the CPU
  bool tied = true;      // another argument says its sizes
  bool placed = true;    // another argument says its device
  bool needed = true;    // it may not be missing
  bool is_read = true;   // it is not for results alone
  bool on_host = false;  // wherever the others are
};

struct OperatorCase {
  std::string name;  // as errors begin
  std::vector<OperatorArgument> arguments;
  /// Outputs, and the gradients of all arguments that have one. May write to the arguments.
  std::function<Tensors(const Tensors&)> results;
  Tensors empty;         // arguments without a token or an element; none where that cannot be said
  bool takes_empty;      // or refuses them
  std::string suffix{};  // of the test's name
};

inline void PrintTo(const OperatorCase& c, std::ostream* out) { *out << c.name << c.suffix; }

/// f(leaves), and the gradients of a function of it. The gradients that f's backward gets are contiguous, but
/// on no 16-byte boundary.
inline Tensors with_gradients(const Tensors& arguments, const std::function<Tensors(const Tensors&)>& f) {
  Tensors leaves, wanted;
  for (const at::Tensor& argument : arguments) {
    leaves.push_back(argument.defined() ? argument.detach() : argument);
    if (argument.defined() && argument.is_floating_point()) wanted.push_back(leaves.back().requires_grad_());
  }
  Tensors results = f(leaves);
  at::Tensor loss = at::zeros({}, results[0].options().dtype(at::kFloat));
  for (const at::Tensor& result : results) {
    if (!result.requires_grad()) continue;
    loss = loss + at::cat({at::zeros({1}, result.options()), result.flatten()}).square().sum();
  }
  for (const at::Tensor& gradient :
       torch::autograd::grad({loss}, wanted, {}, {}, false, /*allow_unused=*/true))
    if (gradient.defined()) results.push_back(gradient);
  return results;
}

inline OperatorCase relu_squared_case(at::ScalarType type) {
  const at::Tensor x = at::randn({5, 7}).to(type);
  return {.name = "relu_squared",
          .arguments = {{.name = "x", .good = x, .tied = false, .placed = false}},
          .results =
              [](const Tensors& all) {
                return with_gradients(
                    all, [](const Tensors& leaves) { return Tensors{kernels::relu_squared(leaves[0])}; });
              },
          .empty = {x.narrow(0, 0, 0)},
          .takes_empty = true};
}

inline OperatorCase fp32_product_case(at::ScalarType type) {
  const at::Tensor a = at::randn({5, 7}).to(type), b = at::randn({7, 3}).to(type), to = at::zeros({5, 3});
  return {.name = "fp32_product",
          .arguments = {{"a", a}, {"b", b}, {.name = "to", .good = to, .is_read = false}},
          .results =
              [](const Tensors& x) {
                kernels::fp32_product_into(x[2], x[0], x[1], /*adds=*/false);
                return Tensors{x[2].clone()};
              },
          .empty = {a.narrow(0, 0, 0), b, to.narrow(0, 0, 0)},
          .takes_empty = true};
}

inline OperatorCase norm_shift_mix_case(at::ScalarType type) {
  const auto activation = [&](std::int64_t rows) { return at::randn({rows, 32}).to(type); };
  const auto vector = [] { return at::randn({32}); };
  return {.name = "norm_shift_mix",
          .arguments = {{.name = "x", .good = activation(5), .tied = false},
                        {"weight", vector()},
                        {"bias", vector()},
                        {"a mix", vector()},
                        {.name = "sequence_starts", .good = int64_list({0, 3}), .on_host = true},
                        {.name = "previous", .good = activation(2), .needed = false}},
          .results =
              [](const Tensors& all) {
                return with_gradients(all, [](const Tensors& x) {
                  const auto result = kernels::norm_shift_mix(x[0], x[1], x[2], 1e-5, {x[3]}, x[4], x[5]);
                  return Tensors{result.mixed, result.last};
                });
              },
          .empty = {activation(0), vector(), vector(), vector(), int64_list({0}), activation(1)},
          .takes_empty = false};
}

inline OperatorCase time_mix_operands_case(at::ScalarType type) {
  const auto activation = [&](std::int64_t tokens) { return at::randn({tokens, 64}).to(type); };
  const auto vector = [] { return at::randn({64}); };
  const at::Tensor r_k = at::randn({2, 32}), none = activation(0);
  return {.name = "time_mix_operands",
          .arguments = {{"r", activation(3)},
                        {"k", activation(3)},
                        {"v", activation(3)},
                        {"iclr", activation(3)},
                        {"v_gate", activation(3)},
                        {"v_first", activation(3)},
                        {"k_k", vector()},
                        {"k_a", vector()},
                        {"r_k", r_k}},
          .results =
              [](const Tensors& all) {
                return with_gradients(all, [](const Tensors& x) {
                  const auto y =
                      kernels::time_mix_operands(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8]);
                  return Tensors{y.r, y.k, y.v, y.a, y.b, y.bonus, y.bonus_v, y.v_first};
                });
              },
          .empty = {none, none, none, none, none, none, vector(), vector(), r_k},
          .takes_empty = false};
}

inline OperatorCase norm_bonus_gate_case(at::ScalarType type) {
  const auto activation = [&](std::int64_t tokens) { return at::randn({tokens, 128}).to(type); };
  const auto vector = [] { return at::randn({128}); };
  return {.name = "norm_bonus_gate",
          .arguments = {{"y", activation(3)},
                        {"bonus", at::randn({3, 4})},
                        {"v", activation(3)},
                        {"g", activation(3)},
                        {"weight", vector()},
                        {"bias", vector()}},
          .results =
              [](const Tensors& all) {
                return with_gradients(all, [](const Tensors& x) {
                  return Tensors{kernels::norm_bonus_gate(x[0], x[1], x[2], x[3], x[4], x[5], 1e-5)};
                });
              },
          .empty = {activation(0), at::zeros({0, 4}), activation(0), activation(0), vector(), vector()},
          .takes_empty = false};
}

inline OperatorCase head_cross_entropy_case(at::ScalarType type) {
  const at::Tensor hidden = at::randn({5, 16}).to(type), head = at::randn({37, 16}).to(type);
  const at::Tensor targets = int64_list({3, 36, kernels::kNoTarget, 0, 36}), weights = at::rand({5});
  return {.name = "head_cross_entropy",
          .arguments = {{"hidden", hidden},
                        {"head", head},
                        {.name = "targets", .good = targets, .placed = false},
                        {"weights", weights},
                        {.name = "rows", .good = int64_list({4, 0, 3, 1, 2}), .needed = false}},
          .results =
              [](const Tensors& x) {
                const auto loss = kernels::head_cross_entropy(x[0], x[1], x[2], x[3], 1e-3, true, true, x[4]);
                return Tensors{loss.losses, loss.d_hidden, loss.d_head};
              },
          .empty = {hidden.narrow(0, 0, 0), head, targets.narrow(0, 0, 0), weights.narrow(0, 0, 0),
                    at::zeros({0}, at::kLong)},
          .takes_empty = true};
}

inline OperatorCase map_attention_case(at::ScalarType type) {
  const at::Tensor qkv = at::randn({1, 5, 4, 3, 2, 16}).to(type), rows = at::randn({5, 16}).to(type);
  const at::Tensor columns = at::randn({3, 16}).to(type), outside = at::randn({3, 2, 16}).to(type);
  return {.name = "map_attention",
          .arguments = {{.name = "qkv", .good = qkv, .tied = false},
                        {"row_table", rows},
                        {"column_table", columns},
                        {"outside", outside}},
          .results = [](const Tensors& x) { return Tensors{kernels::map_attention(x[0], x[1], x[2], x[3])}; },
          .empty = {qkv.narrow(0, 0, 0), rows, columns, outside},
          .takes_empty = true};
}

inline OperatorCase wkv6_case(at::ScalarType type) {
  const auto activation = [&](std::int64_t tokens) { return at::randn({1, tokens, 2, 64}).to(type); };
  const auto states = [](std::int64_t sequences) { return at::randn({1, sequences, 2, 64, 64}); };
  const at::Tensor u = at::randn({2, 64}), none = activation(0);
  return {.name = "wkv6",
          .arguments = {{"r", activation(5)},
                        {"k", activation(5)},
                        {"v", activation(5)},
                        {"w", activation(5)},
                        {"u", u},
                        {.name = "sequence_starts", .good = int64_list({0, 3}), .on_host = true},
                        {.name = "initial_state", .good = states(2), .needed = false}},
          .results =
              [](const Tensors& all) {
                return with_gradients(all, [](const Tensors& x) {
                  const auto result = kernels::wkv6(x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
                  return Tensors{result.y, result.final_state};
                });
              },
          .empty = {none, none, none, none, u, int64_list({0}), states(1)},
          .takes_empty = false};
}

inline OperatorCase wkv7_case(at::ScalarType type) {
  const auto activation = [&](std::int64_t tokens) { return 0.1 * at::randn({1, tokens, 2, 64}).to(type); };
  const auto states = [](std::int64_t sequences) { return at::randn({1, sequences, 2, 64, 64}); };
  const at::Tensor none = activation(0);
  return {.name = "wkv7",
          .arguments = {{"r", activation(5)},
                        {"w", activation(5)},
                        {"k", activation(5)},
                        {"v", activation(5)},
                        {"a", activation(5)},
                        {"b", activation(5)},
                        {.name = "sequence_starts", .good = int64_list({0, 3}), .on_host = true},
                        {.name = "initial_state", .good = states(2), .needed = false}},
          .results =
              [](const Tensors& all) {
                return with_gradients(all, [](const Tensors& x) {
                  const auto result = kernels::wkv7(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
                  return Tensors{result.y, result.final_state};
                });
              },
          .empty = {none, none, none, none, none, none, int64_list({0}), states(1)},
          .takes_empty = false};
}

inline OperatorCase adamw_case() {
  const auto flat = [] { return at::rand({9}); };
  const at::Tensor none = at::zeros({0});
  return {.name = "adamw_update",
          .arguments =
              {{"master", flat()},
               {"exp_avg", flat()},
               {"exp_avg_sq", flat()},
               {"gradient", flat()},
               {.name = "parameters", .good = flat().to(at::kBFloat16), .needed = false, .is_read = false}},
          .results =
              [](const Tensors& x) {
                at::Tensor master = x[0], exp_avg = x[1], exp_avg_sq = x[2];
                kernels::adamw_update(master, exp_avg, exp_avg_sq, x[3], 0.5, {1e-3, 0.9, 0.99, 1e-8, 0.1, 2},
                                      {.to = x[4]});
                return Tensors{master, exp_avg, exp_avg_sq};
              },
          .empty = {none, none, none, none, none.to(at::kBFloat16)},
          .takes_empty = true};
}

inline OperatorCase squared_norm_case() {
  return {.name = "squared_norm_blocks",
          .arguments = {{.name = "flat", .good = at::randn({70}), .tied = false, .placed = false}},
          .results = [](const Tensors& x) { return Tensors{kernels::squared_norm_blocks(x[0])}; },
          .empty = {at::zeros({0})},
          .takes_empty = true};
}

inline OperatorCase tree_sum_case() {
  return {.name = "tree_sum",
          .arguments = {{"a value", at::randn({9})},
                        {"a value", at::randn({9})},
                        {.name = "sum", .good = at::randn({9}), .is_read = false}},
          .results =
              [](const Tensors& x) {
                at::Tensor sum = x[2];
                const std::vector<kernels::Merge> merges = {{0, 1}};
                kernels::tree_sum({x[0], x[1]}, merges, sum);
                return Tensors{sum};
              },
          .empty = {at::zeros({0}), at::zeros({0}), at::zeros({0})},
          .takes_empty = true};
}

inline OperatorCase column_sums_case() {
  return {.name = "column_sums",
          .arguments = {{.name = "rows", .good = at::randn({3, 4}), .tied = false, .placed = false}},
          .results = [](const Tensors& x) { return Tensors{kernels::column_sums(x[0])}; },
          .empty = {at::zeros({0, 4})},
          .takes_empty = false};
}

/// All operators; those of activations in fp32 and in bf16.
inline std::vector<OperatorCase> operator_cases() {
  at::manual_seed(11);
  std::vector<OperatorCase> cases = {adamw_case(), squared_norm_case(), tree_sum_case(), column_sums_case()};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const auto& make :
         {relu_squared_case, fp32_product_case, norm_shift_mix_case, time_mix_operands_case,
          norm_bonus_gate_case, head_cross_entropy_case, map_attention_case, wkv6_case, wkv7_case}) {
      cases.push_back(make(type));
      cases.back().suffix = type == at::kFloat ? "_fp32" : "_bf16";
    }
  }
  return cases;
}

}  // namespace vrwkv::test
