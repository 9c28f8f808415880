// SPDX-License-Identifier: Apache-2.0
#include "kernels/record_call.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace vrwkv::kernels {
namespace {

struct Seen {
  std::string name;
  std::vector<std::int64_t> sizes_read, sizes_written;
};
thread_local std::vector<Seen> seen;

template <class Values>
std::vector<std::int64_t> sizes(const Values& values) {
  std::vector<std::int64_t> all;
  for (const c10::IValue& value : values) all.push_back(value.toTensor().numel());
  return all;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& call) {
  seen.push_back({call.name(), sizes(call.inputs()), {}});
  return nullptr;
}

void end(const at::RecordFunction& call, at::ObserverContext*) {
  seen.back().sizes_written = sizes(call.outputs());
}

TEST(RecordCall, ShowsAnObserverWhatACallReadsAndWrites) {
  const at::Tensor one = at::zeros({1}), two = at::zeros({2}), three = at::zeros({3});
  const auto observer = at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end)
                                                       .needsInputs(true)
                                                       .needsOutputs(true)
                                                       .scopes({at::RecordScope::FUNCTION}));
  const auto call = [&] {
    RecordCall record("vrwkv::test", {one, at::Tensor(), two});
    record.set_outputs({three, at::Tensor()});
  };
  seen.clear();
  call();
  at::removeCallback(observer);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].name, "vrwkv::test");
  EXPECT_EQ(seen[0].sizes_read, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(seen[0].sizes_written, (std::vector<std::int64_t>{3}));
  call();
  EXPECT_EQ(seen.size(), 1U) << "nobody observes any more";
}

}  // namespace
}  // namespace vrwkv::kernels
