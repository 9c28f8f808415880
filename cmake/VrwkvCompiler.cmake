# SPDX-License-Identifier: Apache-2.0
# Compiler cache, warnings, sanitizers, and the one precompiled header. Every target of ours calls vrwkv_target().

# GCC's precompiled header defeats ccache unless time macros and the header's own time stamp are left out of the key; paths
# relative to the source make one clone's results serve the next.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
endif()

add_library(vrwkv_options INTERFACE)
target_compile_options(vrwkv_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Winvalid-pch>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
if(VRWKV_WARNINGS_AS_ERRORS)
  target_compile_options(vrwkv_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(VRWKV_SANITIZE)
  target_compile_options(vrwkv_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${VRWKV_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(vrwkv_options INTERFACE -fsanitize=${VRWKV_SANITIZE})
endif()

# One precompiled header for every target that sees LibTorch. It is ATen's and not <torch/torch.h>, whose pending templates
# cost every file 5 s even precompiled, where ATen's cost 1.4 s; the few files that differentiate include what they need.
function(vrwkv_precompiled_torch)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/torch_pch.cpp CONTENT "")
  add_library(vrwkv_torch_pch OBJECT ${CMAKE_BINARY_DIR}/torch_pch.cpp)
  target_link_libraries(vrwkv_torch_pch PRIVATE vrwkv_options LibTorch::LibTorch)
  target_precompile_headers(vrwkv_torch_pch PRIVATE <ATen/ATen.h>)
endfunction()

# vrwkv_target(TARGET [TORCH]): alias vrwkv::<name>, our options, include root, header sets checked; TORCH: uses LibTorch.
function(vrwkv_target target)
  cmake_parse_arguments(ARG "TORCH" "" "" ${ARGN})
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL "EXECUTABLE")
    string(REPLACE "vrwkv_" "" name ${target})
    add_library(vrwkv::${name} ALIAS ${target})
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  else()
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  endif()
  target_link_libraries(${target} PRIVATE vrwkv_options)
  if(ARG_TORCH)
    target_link_libraries(${target} PUBLIC LibTorch::LibTorch)
    target_precompile_headers(${target} REUSE_FROM vrwkv_torch_pch)
  endif()
endfunction()

# vrwkv_for_each_instruction_set(NAME SOURCES files... [OPTIONS options...]): compiles the files once for each instruction set,
# into the object libraries vrwkv::NAME_portable and, on x86-64, vrwkv::NAME_avx2 and vrwkv::NAME_avx512; see
# common/instruction_set.h.
function(vrwkv_for_each_instruction_set name)
  cmake_parse_arguments(ARG "" "" "SOURCES;OPTIONS" ${ARGN})
  set(flags_avx2 -mavx2 -mfma)
  set(flags_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512)
  set(instruction_sets portable)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND instruction_sets avx2 avx512)
  endif()
  foreach(instruction_set IN LISTS instruction_sets)
    set(target vrwkv_${name}_${instruction_set})
    add_library(${target} OBJECT ${ARG_SOURCES})
    target_compile_options(${target} PRIVATE ${ARG_OPTIONS} ${flags_${instruction_set}})
    vrwkv_target(${target})
  endforeach()
endfunction()
