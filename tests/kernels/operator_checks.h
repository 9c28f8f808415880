// SPDX-License-Identifier: Apache-2.0
// What every operator does with arguments that are not as it would like them. Each check is for a device.
#pragma once

#include <gtest/gtest.h>

#include "common/error.h"
#include "tests/kernels/every_schedule.h"
#include "tests/kernels/operator_cases.h"

namespace vrwkv::test {

inline at::Tensor on(at::Device device, const OperatorArgument& argument, const at::Tensor& tensor) {
  return argument.on_host ? tensor.clone() : tensor.to(device, tensor.scalar_type(), false, /*copy=*/true);
}

/// Copies, because an operator may write to them.
inline Tensors good_arguments(const OperatorCase& c, at::Device device) {
  Tensors tensors;
  for (const OperatorArgument& argument : c.arguments) tensors.push_back(on(device, argument, argument.good));
  return tensors;
}

/// What the operator says of these arguments; empty when it takes them. Any other error is the test's.
inline std::string refusal(const OperatorCase& c, const Tensors& arguments) {
  try {
    c.results(arguments);
  } catch (const ShapeError& error) {
    return error.what();
  }
  return "";
}

inline Tensors with(Tensors arguments, std::size_t i, const at::Tensor& changed) {
  arguments[i] = changed;
  return arguments;
}

struct Changed {
  std::string how;
  at::Tensor tensor;
};

inline std::vector<Changed> of_another_kind(const OperatorArgument& argument, const at::Tensor& good) {
  std::vector<Changed> all = {{"of 64 bits", good.to(good.is_floating_point() ? at::kDouble : at::kInt)},
                              {"a truth value", good.to(at::kBool)},
                              {"sparse", good.to_sparse()},
                              {"without memory", at::empty(good.sizes(), good.options().device(at::kMeta))}};
  if (!good.is_cpu() && argument.placed) all.push_back({"on the CPU", good.cpu()});
  if (argument.needed) all.push_back({"missing", {}});
  return all;
}

inline void expect_other_kinds_are_refused(const OperatorCase& c, at::Device device) {
  const Tensors good = good_arguments(c, device);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const Changed& changed : of_another_kind(c.arguments[i], good[i])) {
      SCOPED_TRACE(c.arguments[i].name + " " + changed.how);
      const std::string message = refusal(c, with(good, i, changed.tensor));
      EXPECT_EQ(message.find(c.name + ": "), 0) << message;
      // The first says what the others should be.
      if (i > 0) {
        EXPECT_NE(message.find(c.arguments[i].name), std::string::npos) << message;
      }
    }
  }
}

inline void expect_other_sizes_are_refused(const OperatorCase& c, at::Device device) {
  const Tensors good = good_arguments(c, device);
  for (std::size_t i = 0; i < good.size(); ++i) {
    refusal(c, with(good, i, good[i].unsqueeze(0)));  // may be taken for a vector
    for (std::int64_t axis = 0; axis < good[i].dim(); ++axis) {
      SCOPED_TRACE(c.arguments[i].name + ", axis " + std::to_string(axis));
      const at::Tensor shorter = good[i].narrow(axis, 0, good[i].size(axis) - 1);
      const std::string message = refusal(c, with(good_arguments(c, device), i, shorter));
      if (c.arguments[i].tied) {
        EXPECT_EQ(message.find(c.name + ": "), 0) << message;
      }
    }
  }
}

inline at::Tensor with_gaps(const at::Tensor& x) { return at::stack({x, x}, -1).select(-1, 0); }

inline at::Tensor off_boundary(const at::Tensor& x) {
  return at::cat({at::zeros({1}, x.options()), x.flatten()}).narrow(0, 1, x.numel()).view(x.sizes());
}

/// The same bits; with gaps in the way, a refusal instead.
inline void expect_layouts_do_not_matter(const OperatorCase& c, at::Device device) {
  const Tensors expected = c.results(good_arguments(c, device));
  for (std::size_t i = 0; i < c.arguments.size(); ++i) {
    SCOPED_TRACE(c.arguments[i].name);
    const Tensors good = good_arguments(c, device);
    EXPECT_TRUE(same_bits(c.results(with(good, i, off_boundary(good[i]))), expected));
    const Tensors gaps = with(good_arguments(c, device), i, with_gaps(good[i]));
    const std::string message = refusal(c, gaps);
    if (message.empty()) {
      EXPECT_TRUE(same_bits(c.results(gaps), expected));
    } else {
      EXPECT_NE(message.find("contiguous"), std::string::npos) << message;
    }
  }
}

inline void expect_empty_is_taken_or_refused(const OperatorCase& c, at::Device device) {
  Tensors empty;
  for (std::size_t i = 0; i < c.empty.size(); ++i) empty.push_back(on(device, c.arguments[i], c.empty[i]));
  const std::string message = refusal(c, empty);
  EXPECT_EQ(message.empty(), c.takes_empty) << message;
}

inline bool any_nan(const Tensors& tensors) {
  for (const at::Tensor& tensor : tensors)
    if (tensor.isnan().any().item<bool>()) return true;
  return false;
}

inline void expect_nan_is_seen(const OperatorCase& c, at::Device device) {
  EXPECT_FALSE(any_nan(c.results(good_arguments(c, device))));
  for (std::size_t i = 0; i < c.arguments.size(); ++i) {
    if (!c.arguments[i].good.is_floating_point() || !c.arguments[i].is_read) continue;
    SCOPED_TRACE(c.arguments[i].name);
    Tensors one = good_arguments(c, device), all = good_arguments(c, device);
    one[i].view({-1})[-1] = NAN;  // the first may be nobody's: a query of map_attention()'s outside
    all[i].fill_(NAN);
    EXPECT_TRUE(any_nan(c.results(one)));
    EXPECT_TRUE(any_nan(c.results(all)));
  }
}

}  // namespace vrwkv::test
