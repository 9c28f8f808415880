// SPDX-License-Identifier: Apache-2.0
#include "bench/trainer/matrix_product_clock.h"

#include <chrono>
#include <memory>
#include <set>
#include <string>

namespace vrwkv::bench {
namespace {

using Clock = std::chrono::steady_clock;

thread_local std::chrono::duration<double> t_total;
thread_local int t_depth = 0;  // of products in products

struct Begin : at::ObserverContext {
  Clock::time_point time = Clock::now();
};

bool is_product(const std::string& name) {
  static const std::set<std::string> kProducts = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm",
                                                  "vrwkv::fp32_product"};
  return kProducts.contains(name);
}

std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& call) {
  if (!is_product(call.name())) return nullptr;
  ++t_depth;
  return std::make_unique<Begin>();
}

void end(const at::RecordFunction&, at::ObserverContext* begin) {
  if (begin != nullptr && --t_depth == 0) t_total += Clock::now() - static_cast<const Begin*>(begin)->time;
}

}  // namespace

MatrixProductClock::MatrixProductClock() {
  t_total = {};
  callback_ =
      at::addThreadLocalCallback(at::RecordFunctionCallback(start, end).scopes({at::RecordScope::FUNCTION}));
}

MatrixProductClock::~MatrixProductClock() { at::removeCallback(callback_); }

double MatrixProductClock::seconds() const { return t_total.count(); }

}  // namespace vrwkv::bench
