// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace vrwkv::kernels {

/// "(2, 48, 3, 64)", for error messages.
std::string shape_text(at::IntArrayRef sizes);

/// @throws ShapeError "where: name ..." unless `tensor` is defined, dense (it may have gaps), and on a CPU or
/// a CUDA device. The others below ask for it, too.
void check_present(const char* where, const char* name, const at::Tensor& tensor);

/// @throws ShapeError "where: name ..." unless `tensor` is fp32 and, where one is given, on `device`.
void check_float32(const char* where, const char* name, const at::Tensor& tensor);
void check_float32(const char* where, const char* name, const at::Tensor& tensor, at::Device device);

/// @throws ShapeError "where: name ..." unless `tensor` is fp32 or bf16, and has the type, device
/// and sizes of `like`, which "all activations share".
void check_activation(const char* where, const char* name, const at::Tensor& tensor, const at::Tensor& like);

/// @throws ShapeError "where: name is (...) but should be (...) (why)." when the sizes differ.
void check_shape(const char* where, const char* name, const at::Tensor& tensor, at::IntArrayRef expected,
                 const char* why);

/// @throws ShapeError "where: name ..." unless `tensor` is fp32, on `device`, and has `count`
/// elements, "one a channel".
void check_vector(const char* where, const char* name, const at::Tensor& tensor, std::int64_t count,
                  at::Device device);

/// @throws ShapeError unless `sequence_starts` is (S) int64, contiguous, on the CPU, strictly ascending,
/// begins with 0 and stays below `tokens`: each sequence has at least one token and together they cover all
/// of them.
void check_sequence_starts(const char* where, const at::Tensor& sequence_starts, std::int64_t tokens);

}  // namespace vrwkv::kernels
