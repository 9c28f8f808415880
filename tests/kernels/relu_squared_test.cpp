// SPDX-License-Identifier: Apache-2.0
#include "kernels/relu_squared/relu_squared.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/error.h"
#include "kernels/activations.h"
#include "kernels/relu_squared/relu_squared_cpu_elements.h"
#include "kernels/relu_squared/relu_squared_reference.h"
#include "tests/kernels/instruction_sets.h"
#include "tests/kernels/tensor_testing.h"

namespace vrwkv::kernels {
namespace {

struct Results {
  at::Tensor y, d_x;
};

template <class Function>
Results results(const Function& function, const at::Tensor& x, const at::Tensor& gradient) {
  const at::Tensor leaf = x.clone().requires_grad_();
  const at::Tensor y = function(leaf);
  return {y, torch::autograd::grad({y}, {leaf}, {gradient})[0]};
}

/// The reference in fp64, rounded once. The kernel rounds relu(x)^2 once, and 2 relu(x) dy, too: 2 is exact.
Results expected(const at::Tensor& x, const at::Tensor& gradient) {
  const Results wide = results(relu_squared_reference, x.to(at::kDouble), gradient.to(at::kDouble));
  return {wide.y.to(at::kFloat).to(x.scalar_type()), wide.d_x.to(at::kFloat).to(x.scalar_type())};
}

TEST(ReluSquared, GivesTheReferencesBitsForwardAndBackward) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{1}, {0}, {15}, {3, 17}, {2, 40, 1024}}) {
      const at::Tensor x = at::randn(sizes).to(type), gradient = at::randn(sizes).to(type);
      const test::NanFilledFreshMemory fresh;
      const Results actual = results(relu_squared, x, gradient), wanted = expected(x, gradient);
      EXPECT_TRUE(actual.y.equal(wanted.y)) << type << x.sizes();
      EXPECT_TRUE(actual.d_x.equal(wanted.d_x)) << type << x.sizes();
    }
  }
}

template <class Element, class Forward, class Backward>
void expect_reference_bits(const at::Tensor& x, const at::Tensor& gradient, Forward forward,
                           Backward backward) {
  const Results wanted = expected(x, gradient);
  const at::Tensor y = at::full_like(x, NAN), d_x = at::full_like(x, NAN);
  forward(x.numel(), elements<const Element>(x), elements<Element>(y));
  backward(x.numel(), elements<const Element>(x), elements<const Element>(gradient), elements<Element>(d_x));
  EXPECT_TRUE(y.equal(wanted.y));
  EXPECT_TRUE(d_x.equal(wanted.d_x));
}

VRWKV_TEST_EACH_INSTRUCTION_SET(ReluSquaredInstructionSets, GivesTheReferencesBits, {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::randn({77}).to(type), gradient = at::randn({77}).to(type);
    with_element_of(x, [&](auto element) {
      using Element = decltype(element);
      expect_reference_bits<Element>(x, gradient, set::relu_squared_forward_elements<Element>,
                                     set::relu_squared_backward_elements<Element>);
    });
  }
})

TEST(ReluSquared, KeepsNanAndTakesStridedInput) {
  at::Tensor x = at::randn({4, 6});
  x[1][2] = NAN;
  const at::Tensor y = relu_squared(x.t());
  EXPECT_TRUE(y.isnan().equal(x.t().isnan()));
  EXPECT_TRUE(y.nan_to_num().equal(relu_squared(x).t().nan_to_num()));
}

TEST(ReluSquared, GivesTheSameBitsForAnyNumberOfThreads) {
  const at::Tensor x = at::randn({100001}), gradient = at::randn({100001});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Results alone = results(relu_squared, x, gradient);
  at::set_num_threads(3);
  const Results together = results(relu_squared, x, gradient);
  at::set_num_threads(threads);
  EXPECT_TRUE(together.y.equal(alone.y));
  EXPECT_TRUE(together.d_x.equal(alone.d_x));
}

TEST(ReluSquared, RefusesOtherTypes) {
  EXPECT_THROW(relu_squared({}), ShapeError);
  EXPECT_THROW(relu_squared(at::zeros({3}, at::kDouble)), ShapeError);
  EXPECT_THROW(relu_squared(at::zeros({3}, at::kLong)), ShapeError);
}

}  // namespace
}  // namespace vrwkv::kernels
