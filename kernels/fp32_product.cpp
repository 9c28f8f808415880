// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product.h"

#include <ATen/ATen.h>

#include "kernels/record_call.h"

namespace vrwkv::kernels {

at::Tensor fp32_product(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor product = at::empty({a.size(0), b.size(1)}, a.options().dtype(at::kFloat));
  fp32_product_into(product, a, b, /*adds=*/false);
  return product;
}

void fp32_product_into(at::Tensor to, const at::Tensor& a, const at::Tensor& b, bool adds) {
  RecordCall record("vrwkv::fp32_product", {a, b, adds ? to : at::Tensor()});
  const bool on_tensor_cores = a.scalar_type() == at::kBFloat16 && a.is_cuda();
  if (on_tensor_cores && adds) {
    at::addmm_out(to, to, a, b, at::kFloat);
  } else if (on_tensor_cores) {
    at::mm_out(to, a, b, at::kFloat);
  } else if (adds) {
    to.addmm_(a.to(at::kFloat), b.to(at::kFloat));
  } else {
    at::mm_out(to, a.to(at::kFloat), b.to(at::kFloat));
  }
  record.set_outputs({to});
}

}  // namespace vrwkv::kernels
