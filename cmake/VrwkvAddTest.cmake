# SPDX-License-Identifier: Apache-2.0
# vrwkv_add_test(FOLDER/NAME [LINK targets...] [RANKS n...] [LABELS labels...] [TIMEOUT seconds] [ARGS args...])
#   Builds tests/FOLDER/NAME_test.cpp and registers it as FOLDER.NAME, or, with RANKS, as FOLDER.NAME.np<n> under mpirun
#   for each count, with the label mpi. A test with the label gpu is skipped where it says "no GPU here" (OnGpu in
#   tests/support/gpu_test.h): it holds nothing that could be tested there. tests_<FOLDER> builds all tests of a folder,
#   tests_gpu those with the label gpu.
function(vrwkv_add_test path)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LINK;RANKS;LABELS" ${ARGN})
  string(REPLACE "/" "." name ${path})
  string(REPLACE "/" "_" target test_${path})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(VRWKV_SANITIZE)
    math(EXPR ARG_TIMEOUT "5 * ${ARG_TIMEOUT}")
  endif()
  add_executable(${target} ${PROJECT_SOURCE_DIR}/tests/${path}_test.cpp)
  vrwkv_target(${target})
  target_link_libraries(${target} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock)
  vrwkv_reuse_torch_pch_if_linked(${target} ${ARG_LINK})
  target_compile_definitions(${target} PRIVATE
    VRWKV_TEST_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures" VRWKV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  get_filename_component(folder ${path} DIRECTORY)
  string(REPLACE "/" "_" folder tests_${folder})
  if(NOT TARGET ${folder})
    add_custom_target(${folder})
  endif()
  add_dependencies(${folder} ${target})
  if(ARG_RANKS)
    target_link_libraries(${target} PRIVATE vrwkv::test_mpi_main)
    foreach(ranks IN LISTS ARG_RANKS)
      add_test(NAME ${name}.np${ranks} COMMAND ${PROJECT_SOURCE_DIR}/tools/mpirun.sh -n ${ranks} $<TARGET_FILE:${target}>)
      set_tests_properties(${name}.np${ranks} PROPERTIES
        PROCESSORS ${ranks} TIMEOUT ${ARG_TIMEOUT} LABELS "mpi;${ARG_LABELS}"
        # Open MPI keeps allocations of its own until the process ends.
        ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
      list(APPEND names ${name}.np${ranks})
    endforeach()
  else()
    target_link_libraries(${target} PRIVATE vrwkv::test_main)
    add_test(NAME ${name} COMMAND ${target})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
    set(names ${name})
  endif()
  if("gpu" IN_LIST ARG_LABELS)
    if(NOT TARGET tests_gpu)
      add_custom_target(tests_gpu)
    endif()
    add_dependencies(tests_gpu ${target})
    set_tests_properties(${names} PROPERTIES SKIP_REGULAR_EXPRESSION "no GPU here")
  endif()
endfunction()

# vrwkv_add_bench_test(NAME PRINTS EXPRESSION COMMAND command...): with the tests, runs a benchmark's smallest case as bench.NAME,
#   so that it cannot rot. It has to exit with 0 and to print what the basic regular EXPRESSION matches.
function(vrwkv_add_bench_test name)
  cmake_parse_arguments(ARG "" "PRINTS" "COMMAND" ${ARGN})
  if(VRWKV_BUILD_TESTS)
    add_test(NAME bench.${name} COMMAND bash -o pipefail -c [=["${@:2}" | tee /dev/stderr | grep -e "$1" >/dev/null]=]
      bench ${ARG_PRINTS} ${ARG_COMMAND})
    set_tests_properties(bench.${name} PROPERTIES TIMEOUT 60 LABELS bench)
  endif()
endfunction()

# Reuses the LibTorch header when any of the given targets links LibTorch.
function(vrwkv_reuse_torch_pch_if_linked target)
  foreach(link IN LISTS ARGN)
    if(TARGET ${link})
      get_target_property(aliased ${link} ALIASED_TARGET)
      if(aliased)
        get_target_property(reused ${aliased} PRECOMPILE_HEADERS_REUSE_FROM)
        if(reused)
          target_precompile_headers(${target} REUSE_FROM vrwkv_torch_pch)
          return()
        endif()
      endif()
    endif()
  endforeach()
endfunction()
