// SPDX-License-Identifier: Apache-2.0
// How a CPU kernel is compiled once for each instruction set and chosen at run time. Its file includes
// lanes.h, defines its functions in namespace vrwkv::kernels::cpu::VRWKV_INSTRUCTION_SET and stands in the
// list of vrwkv_cpu_instruction_set() in kernels/CMakeLists.txt; a header declares them for all sets; the
// caller asks for the widest:
//
//   VRWKV_FOR_EACH_INSTRUCTION_SET(void double_all(float* values, std::int64_t count);)
//   static const auto double_all = VRWKV_WIDEST(double_all);
#pragma once

#if defined(__x86_64__)

#define VRWKV_FOR_EACH_INSTRUCTION_SET(...) \
  namespace portable {                      \
  __VA_ARGS__                               \
  }                                         \
  namespace avx2 {                          \
  __VA_ARGS__                               \
  }                                         \
  namespace avx512 {                        \
  __VA_ARGS__                               \
  }
#define VRWKV_WIDEST(function) \
  ::vrwkv::kernels::cpu::widest(&portable::function, &avx2::function, &avx512::function)

namespace vrwkv::kernels::cpu {

inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && has_avx2();
}

/// The one of the widest instruction set that this processor has.
template <class Function>
Function widest(Function portable, Function avx2, Function avx512) {
  return has_avx512() ? avx512 : has_avx2() ? avx2 : portable;
}

}  // namespace vrwkv::kernels::cpu

#else

#define VRWKV_FOR_EACH_INSTRUCTION_SET(...) \
  namespace portable {                      \
  __VA_ARGS__                               \
  }
#define VRWKV_WIDEST(function) (&portable::function)

#endif
