# SPDX-License-Identifier: Apache-2.0
# vrwkv_add_test(FOLDER/NAME [LINK targets...] [RANKS n...] [LABELS labels...] [TIMEOUT seconds] [ARGS args...])
#   Builds tests/FOLDER/NAME_test.cpp and registers it as FOLDER.NAME, or, with RANKS, as FOLDER.NAME.np<n> under mpirun
#   for each count, with the label mpi.
function(vrwkv_add_test path)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LINK;RANKS;LABELS" ${ARGN})
  string(REPLACE "/" "." name ${path})
  string(REPLACE "/" "_" target test_${path})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${target} ${PROJECT_SOURCE_DIR}/tests/${path}_test.cpp)
  vrwkv_target(${target})
  target_link_libraries(${target} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock)
  vrwkv_reuse_torch_pch_if_linked(${target} ${ARG_LINK})
  target_compile_definitions(${target} PRIVATE
    VRWKV_TEST_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures" VRWKV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(ARG_RANKS)
    target_link_libraries(${target} PRIVATE vrwkv::test_mpi_main)
    foreach(ranks IN LISTS ARG_RANKS)
      add_test(NAME ${name}.np${ranks} COMMAND ${PROJECT_SOURCE_DIR}/tools/mpirun.sh -n ${ranks} $<TARGET_FILE:${target}>)
      set_tests_properties(${name}.np${ranks} PROPERTIES
        PROCESSORS ${ranks} TIMEOUT ${ARG_TIMEOUT} LABELS "mpi;${ARG_LABELS}"
        # Open MPI keeps allocations of its own until the process ends.
        ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
    endforeach()
  else()
    target_link_libraries(${target} PRIVATE vrwkv::test_main)
    add_test(NAME ${name} COMMAND ${target})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
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
