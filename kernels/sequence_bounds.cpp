// SPDX-License-Identifier: Apache-2.0
#include "kernels/sequence_bounds.h"

#include <ATen/ATen.h>
#include <c10/util/intrusive_ptr.h>

#include <optional>

#include "kernels/activations.h"
#include "kernels/device/current_stream.h"

namespace vrwkv::kernels {
namespace {

at::Tensor host_bounds(const at::Tensor& sequence_starts, std::int64_t tokens) {
  return at::cat({sequence_starts, at::full({1}, tokens, at::kLong)});
}

/// A copy, and all that it depends on.
struct DeviceBounds {
  bool are_of(const at::Tensor& sequence_starts, std::int64_t asked_tokens, const void* asked_stream) const {
    return storage.lock().get() == sequence_starts.storage().unsafeGetStorageImpl() &&
           offset == sequence_starts.storage_offset() && version == sequence_starts._version() &&
           bounds.numel() == sequence_starts.numel() + 1 && tokens == asked_tokens && stream == asked_stream;
  }

  c10::weak_intrusive_ptr<c10::StorageImpl> storage;  // of the list, which may be gone
  std::int64_t offset, version, tokens;
  const void* stream;  // that has the copy in its order
  at::Tensor bounds;
};

}  // namespace

at::Tensor sequence_bounds(const at::Tensor& sequence_starts, std::int64_t tokens, at::Device device) {
  if (device.is_cpu()) return host_bounds(sequence_starts, tokens);
  thread_local std::optional<DeviceBounds> last;
  const void* stream = current_stream(device);
  if (!last || last->bounds.device() != device || !last->are_of(sequence_starts, tokens, stream)) {
    last = DeviceBounds{.storage = sequence_starts.storage().getWeakStorageImpl(),
                        .offset = sequence_starts.storage_offset(),
                        .version = sequence_starts._version(),
                        .tokens = tokens,
                        .stream = stream,
                        .bounds = queued_copy(host_bounds(sequence_starts, tokens), device)};
  }
  return last->bounds;
}

}  // namespace vrwkv::kernels
