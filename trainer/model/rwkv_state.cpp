// SPDX-License-Identifier: Apache-2.0
#include "trainer/model/rwkv_state.h"

#include <ATen/ATen.h>

namespace vrwkv::model {

at::Tensor last_tokens(const at::Tensor& x, const at::Tensor& sequence_starts) {
  const at::Tensor ends = at::cat(
      {sequence_starts.narrow(0, 1, sequence_starts.size(0) - 1), at::full({1}, x.size(1), at::kLong)});
  return x.index_select(1, (ends - 1).to(x.device()));
}

}  // namespace vrwkv::model
