// SPDX-License-Identifier: Apache-2.0
// How a function is compiled once for each instruction set and chosen at run time. Its file defines it in a
// namespace VRWKV_INSTRUCTION_SET, calls no inline function of another namespace (two objects would hold it,
// compiled differently, and the linker would keep one) and is listed with vrwkv_for_each_instruction_set() of
// cmake/VrwkvCompiler.cmake; a header declares it for all sets; the caller asks for the widest:
//
//   VRWKV_FOR_EACH_INSTRUCTION_SET(void double_all(float* values, std::int64_t count);)
//   static const auto double_all = VRWKV_WIDEST(double_all);
#pragma once

/// The one that this file is being compiled for.
#if defined(__AVX512F__)
#define VRWKV_INSTRUCTION_SET avx512
#elif defined(__AVX2__)
#define VRWKV_INSTRUCTION_SET avx2
#else
#define VRWKV_INSTRUCTION_SET portable
#endif

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
#define VRWKV_WIDEST(function) ::vrwkv::widest(&portable::function, &avx2::function, &avx512::function)

namespace vrwkv {

inline bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
inline bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && has_avx2();
}

/// The one of the widest instruction set that this processor has.
template <class Function>
Function widest(Function portable, Function avx2, Function avx512) {
  return has_avx512() ? avx512 : has_avx2() ? avx2 : portable;
}

}  // namespace vrwkv

#else

#define VRWKV_FOR_EACH_INSTRUCTION_SET(...) \
  namespace portable {                      \
  __VA_ARGS__                               \
  }
#define VRWKV_WIDEST(function) (&portable::function)

#endif
