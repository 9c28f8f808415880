// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_norm/squared_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/device/current_stream.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {

at::Tensor squared_norm_blocks(const at::Tensor& flat) {
  check_float32("squared_norm_blocks", "flat", flat);
  if (flat.dim() != 1 || !flat.is_contiguous()) {
    throw ShapeError("squared_norm_blocks: flat is {} but should be one contiguous axis.",
                     shape_text(flat.sizes()));
  }
  const at::NoGradGuard no_gradients;
  const c10::DeviceGuard device(flat.device());
  RecordCall record("vrwkv::squared_norm_blocks", {flat});
  at::Tensor blocks =
      at::empty({(flat.numel() + kNormBlock - 1) / kNormBlock}, flat.options().dtype(at::kDouble));
  const auto* values = flat.const_data_ptr<float>();
  if (flat.is_cpu()) {
    cpu::squared_norm_blocks(values, flat.numel(), blocks.data_ptr<double>());
  } else {
    cuda::squared_norm_blocks(values, flat.numel(), blocks.data_ptr<double>(), current_stream(flat.device()));
  }
  record.set_outputs({blocks});
  return blocks;
}

}  // namespace vrwkv::kernels
