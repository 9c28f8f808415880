// SPDX-License-Identifier: Apache-2.0
#include "kernels/fp32_product/fp32_product.h"

#include <ATen/ATen.h>

#include "common/error.h"
#include "kernels/argument_checks.h"
#include "kernels/fp32_product/bf16_product_cpu.h"
#include "kernels/record_call.h"

namespace vrwkv::kernels {
namespace {

constexpr const char* kWhere = "fp32_product";

void check_factors(const at::Tensor& a, const at::Tensor& b) {
  check_activation(kWhere, "a", a, a);
  check_present(kWhere, "b", b);
  if (b.scalar_type() != a.scalar_type() || b.device() != a.device()) {
    throw ShapeError("{}: a is {} on {} and b is {} on {} (both share one type and one device).", kWhere,
                     c10::toString(a.scalar_type()), a.device().str(), c10::toString(b.scalar_type()),
                     b.device().str());
  }
  if (a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(0)) {
    throw ShapeError("{}: a is {} and b is {} but should be (M, K) and (K, N).", kWhere,
                     shape_text(a.sizes()), shape_text(b.sizes()));
  }
}

/// A matrix that one of the strides steps through element by element.
at::Tensor dense_one_way(const at::Tensor& x) {
  return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous();
}

cpu::Bf16Vectors vectors_of(const at::Tensor& x, int across) {
  return {.data = static_cast<const Bf16*>(x.const_data_ptr()),
          .vector_stride = x.stride(across),
          .depth_stride = x.stride(1 - across),
          .count = x.size(across),
          .depth = x.size(1 - across)};
}

void multiply_on_cpu(at::Tensor to, const at::Tensor& a, const at::Tensor& b, bool adds) {
  const bool is_empty = a.numel() == 0 || b.numel() == 0;
  if (a.scalar_type() == at::kBFloat16 && cpu::multiplies_bf16() && to.stride(1) == 1 && !is_empty) {
    const at::Tensor left = dense_one_way(a), right = dense_one_way(b);
    cpu::bf16_product(vectors_of(left, 0), vectors_of(right, 1), to.data_ptr<float>(), to.stride(0), adds);
  } else if (adds) {
    to.addmm_(a.to(at::kFloat), b.to(at::kFloat));
  } else {
    at::mm_out(to, a.to(at::kFloat), b.to(at::kFloat));
  }
}

}  // namespace

at::Tensor fp32_product(const at::Tensor& a, const at::Tensor& b) {
  check_factors(a, b);
  at::Tensor product = at::empty({a.size(0), b.size(1)}, a.options().dtype(at::kFloat));
  fp32_product_into(product, a, b, /*adds=*/false);
  return product;
}

void fp32_product_into(at::Tensor to, const at::Tensor& a, const at::Tensor& b, bool adds) {
  check_factors(a, b);
  check_float32(kWhere, "to", to, a.device());
  check_shape(kWhere, "to", to, {a.size(0), b.size(1)}, "the rows of a by the columns of b");
  RecordCall record("vrwkv::fp32_product", {a, b, adds ? to : at::Tensor()});
  const bool on_tensor_cores = a.scalar_type() == at::kBFloat16 && a.is_cuda();
  if (a.is_cpu()) {
    multiply_on_cpu(to, a, b, adds);
  } else if (on_tensor_cores && adds) {
    at::addmm_out(to, to, a, b, at::kFloat);
  } else if (on_tensor_cores) {
    at::mm_out(to, a, b, at::kFloat);
  } else if (adds) {
    to.addmm_(a, b);
  } else {
    at::mm_out(to, a, b);
  }
  record.set_outputs({to});
}

}  // namespace vrwkv::kernels
