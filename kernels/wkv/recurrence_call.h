// SPDX-License-Identifier: Apache-2.0
// One call of a recurrence: what WKV-6's and WKV-7's have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/wkv/recurrence_kernel.h"

namespace vrwkv::kernels {

struct RecurrenceCall {
  /// r and the other inputs, the initial state (which may be undefined) and the bounds of the sequences'
  /// tokens, (S + 1) on the tensors' device: contiguous, and checked.
  std::vector<at::Tensor> tensors;
  RecurrenceKernel kernel;  // of a GPU; chunked needs bf16

  const at::Tensor& r() const { return tensors.front(); }
  const at::Tensor& initial_state() const { return tensors[tensors.size() - 2]; }
  const at::Tensor& bounds() const { return tensors.back(); }
  std::int64_t sequences() const { return bounds().numel() - 1; }

  /// Whether autograd wants to know of the call.
  bool differentiates() const;

  /// Fresh ones, on r's device.
  at::Tensor empty(at::IntArrayRef sizes, at::ScalarType type) const;
  at::Tensor empty_like_r() const;
  at::Tensor empty_states() const;  // (B, S, H, N, N) fp32
};

/// What a recurrence is asked for.
struct RecurrenceArguments {
  const char* where;  // "wkv7", for messages
  std::vector<const char*> names;
  std::vector<at::Tensor> activations;  // so called
  std::vector<at::Tensor> others;       // checked by the recurrence itself
  at::Tensor sequence_starts;
  at::Tensor initial_state;  // may be undefined
  ChunkedFit chunked_fit;    // of bf16 with heads of kChunkedHeadSize
};

/// @throws ShapeError "where: name ..." unless the activations are (B, T, H, N) of one type and device, none
/// of the sizes 0 and N a multiple of 16, and the others fit them.
void check_recurrence_arguments(const RecurrenceArguments& arguments);

/// @param arguments  checked.
/// @throws ConfigError as recurrence_kernel() does.
RecurrenceCall make_recurrence_call(const RecurrenceArguments& arguments);

/// Autograd takes no undefined tensor.
std::optional<at::Tensor> optional_tensor(const at::Tensor& tensor);
/// `tensor`, contiguous; undefined where it is.
at::Tensor dense_or_none(const at::Tensor& tensor);

}  // namespace vrwkv::kernels
