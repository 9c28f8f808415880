# SPDX-License-Identifier: Apache-2.0
# LibTorch as the PyPI wheel lays it out (tools/setup.sh puts it under .deps/python). Its own CMake package wants a whole
# CUDA installation; a CPU build needs only these two libraries, and the CUDA runtime and CUPTI that one of them loads.
set(LibTorch_ROOT ${PROJECT_SOURCE_DIR}/.deps/python CACHE PATH "Folder that holds torch/ and nvidia/")
find_path(LibTorch_INCLUDE_DIR torch/script.h PATHS ${LibTorch_ROOT}/torch/include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${LibTorch_ROOT}/torch/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 PATHS ${LibTorch_ROOT}/torch/lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  FAIL_MESSAGE "LibTorch is not in ${LibTorch_ROOT}. Run tools/setup.sh, or set LibTorch_ROOT")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # Its include folder carries newer fmt headers than libfmt's own, which libfmt cannot serve: libfmt's go first.
  get_target_property(fmt_include_dir fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/libfmt_headers)
  file(CREATE_LINK ${fmt_include_dir}/fmt ${CMAKE_BINARY_DIR}/libfmt_headers/fmt SYMBOLIC)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${CMAKE_BINARY_DIR}/libfmt_headers ${LibTorch_INCLUDE_DIR} ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  target_compile_definitions(LibTorch::LibTorch INTERFACE _GLIBCXX_USE_CXX11_ABI=1)
  # The CUDA libraries that LibTorch loads are found by its own RPATH at run time, not by the linker.
  set(torch_lib ${LibTorch_ROOT}/torch/lib)
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
  # at::parallel_for is a template: compiled without OpenMP, it runs on one thread and says nothing. The runtime is
  # LibTorch's own copy, so that a process has one.
  target_compile_options(LibTorch::LibTorch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
  target_link_libraries(LibTorch::LibTorch INTERFACE ${torch_lib}/libgomp.so.1)
  target_link_options(LibTorch::LibTorch INTERFACE
    LINKER:--allow-shlib-undefined LINKER:-rpath,${torch_lib} LINKER:-rpath-link,${LibTorch_ROOT}/nvidia/cu13/lib)
  add_library(LibTorch::Cuda INTERFACE IMPORTED)
  target_link_libraries(LibTorch::Cuda INTERFACE LibTorch::LibTorch
    -Wl,--no-as-needed ${torch_lib}/libtorch_cuda.so ${torch_lib}/libc10_cuda.so -Wl,--as-needed)
endif()
