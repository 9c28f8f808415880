// SPDX-License-Identifier: Apache-2.0
// What the first calls of a process are compared with, on a CPU, whose kernel stands in for both.
#include "kernels/wkv/recurrence_check.h"

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/error.h"
#include "kernels/wkv6/wkv6_self_check.h"
#include "kernels/wkv7/wkv7_self_check.h"
#include "tests/kernels/wkv6_cases.h"
#include "tests/kernels/wkv7_cases.h"

namespace vrwkv::kernels {
namespace {

/// While it lives, this thread's calls of a recurrence of more than two heads, which the fallback of a check
/// has not, write one of their results wrongly.
class BrokenKernel {
 public:
  using Damage = std::function<void(at::Tensor&)>;

  BrokenKernel(std::string name, std::size_t result, Damage damage) {
    name_ = std::move(name);
    result_ = result;
    damage_ = std::move(damage);
    callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end).needsOutputs(true));
  }
  ~BrokenKernel() { at::removeCallback(callback_); }
  BrokenKernel(const BrokenKernel&) = delete;
  BrokenKernel& operator=(const BrokenKernel&) = delete;

 private:
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction&) { return nullptr; }
  static void end(const at::RecordFunction& call, at::ObserverContext*) {
    if (call.name() != name_ || call.outputs()[0].toTensor().size(2) <= 2) return;
    at::Tensor result = call.outputs()[result_].toTensor();
    damage_(result);
  }

  static inline thread_local std::string name_;
  static inline thread_local std::size_t result_;
  static inline thread_local Damage damage_;
  at::CallbackHandle callback_;
};

BrokenKernel::Damage off_by(double part) {
  return [part](at::Tensor& result) { result.mul_(1 + part); };
}

const std::vector<std::int64_t> kStarts = {0, 17};

/// A call that checks itself, and its results.
struct OfWkv6 {
  static constexpr const char* kName = "wkv6";
  static constexpr const char* kGradients[] = {"dr", "dk", "dv", "dw", "du", "the initial state's gradient"};
  OfWkv6() {
    const auto tensors = test::random_wkv6_tensors({1, 40, 5, 64, kStarts, true, at::kBFloat16}, /*seed=*/31);
    call.tensors = tensors.inputs;
    call.tensors.insert(call.tensors.end(),
                        {tensors.initial_state, test::int64_list(test::token_bounds(kStarts, 40))});
    call.kernel.self_checks = true;
    incoming = {.y = tensors.gradient_y, .final_state = tensors.gradient_final_state};
  }
  void forward() { checked_wkv6_forward(call, /*kept_states=*/{}, first); }
  void backward() {
    const at::Tensor kept = wkv6_empty_kept(call);
    wkv6_forward(call, kept);
    checked_wkv6_backward(call, kept, incoming, /*want_initial_state=*/true, first);
  }

  void clear_incoming() {
    const at::Tensor y = at::zeros_like(incoming.y);
    incoming = {};
    incoming.y = y;
  }

  Wkv6Call call;
  Wkv6IncomingGradients incoming;
  FirstComparison first;
};

struct OfWkv7 {
  static constexpr const char* kName = "wkv7";
  static constexpr const char* kGradients[] = {
      "dr", "dw", "dk", "dv", "da", "db", "the initial state's gradient"};
  OfWkv7() {
    const test::Wkv7Case c{1, 40, 5, 64, kStarts, true, DecayInput::kRaw, at::kBFloat16};
    const auto tensors = test::random_wkv7_tensors(c, /*seed=*/31);
    call.tensors = tensors.inputs;
    call.tensors.insert(call.tensors.end(),
                        {tensors.initial_state, test::int64_list(test::token_bounds(kStarts, 40))});
    call.kernel.self_checks = true;
    call.decay_input = c.decay_input;
    incoming = {.y = tensors.gradient_y, .final_state = tensors.gradient_final_state};
  }
  void forward() { checked_wkv7_forward(call, Wkv7KeptTensors{}, first); }
  void backward() {
    const Wkv7KeptTensors kept = wkv7_empty_kept(call);
    wkv7_forward(call, kept);
    checked_wkv7_backward(call, kept, incoming, /*want_initial_state=*/true, first);
  }

  void clear_incoming() {
    const at::Tensor y = at::zeros_like(incoming.y);
    incoming = {};
    incoming.y = y;
  }

  Wkv7Call call;
  Wkv7IncomingGradients incoming;
  FirstComparison first;
};

template <class Recurrence>
class RecurrenceCheck : public testing::Test {
 protected:
  static std::string forward_name() { return std::string("vrwkv::") + Recurrence::kName; }
  static std::string backward_name() { return forward_name() + "_backward"; }
  static auto is_refused_for(const std::string& result) {
    return testing::ThrowsMessage<DeviceError>(testing::StartsWith(
        std::string(Recurrence::kName) + ": " + result + " of the chunked kernel differs"));
  }
};

using Recurrences = testing::Types<OfWkv6, OfWkv7>;
struct RecurrenceName {
  template <class Recurrence>
  static std::string GetName(int) {
    return Recurrence::kName;
  }
};
TYPED_TEST_SUITE(RecurrenceCheck, Recurrences, RecurrenceName);

TYPED_TEST(RecurrenceCheck, AcceptsWhatBf16Costs) {
  for (std::size_t i = 0; i < 2; ++i) {
    const BrokenKernel a_little(this->forward_name(), i, off_by(0.01));
    TypeParam().forward();
  }
  for (std::size_t i = 0; i < std::size(TypeParam::kGradients); ++i) {
    const BrokenKernel a_little(this->backward_name(), i, off_by(0.01));
    TypeParam().backward();
  }
}

TYPED_TEST(RecurrenceCheck, RefusesAnyResultThatIsFurtherOffAndNamesIt) {
  const char* const results[] = {"y", "the final state"};
  for (std::size_t i = 0; i < std::size(results); ++i) {
    const BrokenKernel broken(this->forward_name(), i, off_by(0.04));
    EXPECT_THAT([] { TypeParam().forward(); }, this->is_refused_for(results[i]));
  }
  for (std::size_t i = 0; i < std::size(TypeParam::kGradients); ++i) {
    const BrokenKernel broken(this->backward_name(), i, off_by(0.04));
    EXPECT_THAT([] { TypeParam().backward(); }, this->is_refused_for(TypeParam::kGradients[i]));
  }
}

TYPED_TEST(RecurrenceCheck, RefusesNanInTheLastHeadAlone) {
  const BrokenKernel broken(this->forward_name(), 0, [](at::Tensor& y) { y.select(2, 4).fill_(NAN); });
  EXPECT_THROW(TypeParam().forward(), DeviceError);
}

TYPED_TEST(RecurrenceCheck, ComparesNoCallAfterTheFirst) {
  TypeParam forward, backward;
  forward.forward();
  backward.backward();
  {
    const BrokenKernel broken(this->forward_name(), 0, off_by(0.04));
    forward.forward();
  }
  const BrokenKernel broken(this->backward_name(), 0, off_by(0.04));
  backward.backward();
}

TYPED_TEST(RecurrenceCheck, LeavesTheComparisonToTheNextCallWhereInputsAreNotFinite) {
  TypeParam forward, backward;
  for (TypeParam* of : {&forward, &backward}) {
    const at::Tensor input = of->call.tensors[2].clone();
    of->call.tensors[2].fill_(NAN);
    of->forward();
    of->backward();
    of->call.tensors[2].copy_(input);
  }
  {
    const BrokenKernel broken(this->forward_name(), 0, off_by(0.04));
    EXPECT_THROW(forward.forward(), DeviceError);
    EXPECT_THROW(forward.forward(), DeviceError) << "what was refused once is not accepted the second time";
  }
  const BrokenKernel broken(this->backward_name(), 0, off_by(0.04));
  EXPECT_THROW(backward.backward(), DeviceError);
}

TYPED_TEST(RecurrenceCheck, LeavesTheComparisonToTheNextCallWhereGradientsAreZero) {
  TypeParam of;
  const auto incoming = of.incoming;
  of.clear_incoming();
  of.backward();
  of.incoming = incoming;
  const BrokenKernel broken(this->backward_name(), 0, off_by(0.04));
  EXPECT_THROW(of.backward(), DeviceError);
}

TYPED_TEST(RecurrenceCheck, ComparesNothingWhereTheKernelWasAskedFor) {
  TypeParam of;
  of.call.kernel.self_checks = false;
  {
    const BrokenKernel broken(this->forward_name(), 0, off_by(0.04));
    of.forward();
  }
  const BrokenKernel broken(this->backward_name(), 0, off_by(0.04));
  of.backward();
}

TEST(CheckedHeads, AreTheFirstAndTheLastWhereThereAreHeads) {
  const at::Tensor activations = at::rand({1, 3, 5, 16}), parameters = at::rand({5, 16});
  EXPECT_TRUE(
      checked_heads(activations).equal(at::stack({activations.select(2, 0), activations.select(2, 4)}, 2)));
  EXPECT_TRUE(checked_heads(parameters).equal(at::stack({parameters[0], parameters[4]})));
  EXPECT_EQ(checked_heads(at::rand({2, 16})).size(0), 2);
  EXPECT_TRUE(checked_heads(test::int64_list(kStarts)).equal(test::int64_list(kStarts)));
  EXPECT_FALSE(checked_heads(at::Tensor()).defined());
}

}  // namespace
}  // namespace vrwkv::kernels
