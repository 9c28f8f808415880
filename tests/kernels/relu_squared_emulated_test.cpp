// SPDX-License-Identifier: Apache-2.0
// relu_squared_cuda.cu, compiled for the CPU and run under schedules that a GPU might or might not choose.
#include <ATen/ATen.h>

#include "kernels/activations.h"
#include "kernels/relu_squared/relu_squared_backend.h"
#include "kernels/relu_squared/relu_squared_reference.h"
#include "tests/kernels/every_schedule.h"

namespace vrwkv::kernels {
namespace {

template <class Element>
void expect_the_right_bits(std::int64_t count, at::ScalarType type) {
  const at::Tensor x = at::randn({count}).to(type), gradient = at::randn({count}).to(type);
  const auto run = [&] {
    const at::Tensor y = at::full_like(x, NAN), d_x = at::full_like(x, NAN);
    cuda::relu_squared_forward(count, elements<const Element>(x), elements<Element>(y), nullptr);
    cuda::relu_squared_backward(count, elements<const Element>(x), elements<const Element>(gradient),
                                elements<Element>(d_x), nullptr);
    return std::vector{y, d_x};
  };
  const std::vector<at::Tensor> results = test::same_under_every_schedule(run);
  // The kernel's only roundings are those of the product in fp32 and of the result.
  const auto rounded = [&](const at::Tensor& wide) { return wide.to(at::kFloat).to(type); };
  EXPECT_TRUE(results[0].equal(rounded(relu_squared_reference(x))));
  EXPECT_TRUE(results[1].equal(rounded(2 * x.to(at::kDouble).relu() * gradient.to(at::kDouble))));
}

TEST(ReluSquaredEmulated, GivesTheReferencesBitsUnderEverySchedule) {
  for (const std::int64_t count : {0, 1, 8, 2049, 4100}) {
    SCOPED_TRACE(count);
    expect_the_right_bits<float>(count, at::kFloat);
    expect_the_right_bits<Bf16>(count, at::kBFloat16);
  }
}

}  // namespace
}  // namespace vrwkv::kernels
