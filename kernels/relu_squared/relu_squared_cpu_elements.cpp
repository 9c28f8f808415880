// SPDX-License-Identifier: Apache-2.0
#include "kernels/relu_squared/relu_squared_cpu_elements.h"

#include "kernels/cpu/lanes.h"

namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET {
namespace {

/// A comparison with NaN is false, so that NaN stays.
Float relu(Float x) { return x < 0.0F ? Float{} : x; }

/// The first `count` elements, fewer than kLanes, and zeros.
template <class Element>
Float load_some(const Element* from, std::int64_t count) {
  Element all[kLanes] = {};
  __builtin_memcpy(all, from, static_cast<std::size_t>(count) * sizeof(Element));
  return load(all);
}

template <class Element>
void store_some(Element* to, Float value, std::int64_t count) {
  Element all[kLanes];
  store(all, value);
  __builtin_memcpy(to, all, static_cast<std::size_t>(count) * sizeof(Element));
}

}  // namespace

template <class Element>
void relu_squared_forward_elements(std::int64_t count, const Element* x, Element* y) {
  const auto square = [](Float value) { return relu(value) * relu(value); };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, square(load(x + i)));
  const std::int64_t rest = count - i;
  if (rest > 0) store_some(y + i, square(load_some(x + i, rest)), rest);
}

template <class Element>
void relu_squared_backward_elements(std::int64_t count, const Element* x, const Element* d_y, Element* d_x) {
  const auto gradient = [](Float value, Float d_square) { return 2.0F * relu(value) * d_square; };
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(d_x + i, gradient(load(x + i), load(d_y + i)));
  const std::int64_t rest = count - i;
  if (rest > 0) store_some(d_x + i, gradient(load_some(x + i, rest), load_some(d_y + i, rest)), rest);
}

#define VRWKV_INSTANTIATE(Element)                                                     \
  template void relu_squared_forward_elements(std::int64_t, const Element*, Element*); \
  template void relu_squared_backward_elements(std::int64_t, const Element*, const Element*, Element*);
VRWKV_INSTANTIATE(float)
VRWKV_INSTANTIATE(Bf16)
#undef VRWKV_INSTANTIATE

}  // namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET
