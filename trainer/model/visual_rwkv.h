// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/named_tensor.h"
#include "trainer/model/model_config.h"
#include "trainer/model/rwkv_state.h"

namespace vrwkv::model {

/// Marks the places of image features in token ids. Never looked up in the embedding.
inline constexpr std::int64_t kImageToken = 65535;

/// VisualRWKV: frozen image encoders, a projector, an RWKV-7 language model. Made on the CPU, in fp32.
///
/// Parameters are fp32, and what is computed with them is of the compute type, fp32 or bf16. One that is used
/// in that type (rounds()) is cast at each use, unless its handle holds it in that type already:
/// cast_frozen() for those that do not learn, sharding/flat_parameters.h for those that do. Arguments may lie
/// on the CPU; they are brought to the model's device, pinned and without waiting where that is a GPU.
///
/// The caller walks it: encode_images -> pool_images -> project_images -> place_images into embed -> block 0
/// .. n_layer - 1
/// -> final_norm -> head. Each step is a call with explicit inputs and outputs that records gradients exactly
/// as the caller's grad mode and the parameters' requires_grad say; only encode_images never does. Nothing is
/// changed in place.
///
/// Sequences lie end to end on the T axis: `sequence_starts` (S) int64, ascending, the first 0; they do not
/// see each other.
class VisualRwkv {
 public:
  /// Random parameters, a function of config and seed alone: neither the global generator nor threads matter,
  /// and a tensor keeps its values when other parts of the model change. requires_grad is off everywhere.
  /// @throws ConfigError as validate() does.
  VisualRwkv(const ModelConfig& config, std::uint64_t seed);
  /// The same, but only the parameters whose names `draws` chooses get values: the caller loads the others.
  VisualRwkv(const ModelConfig& config, std::uint64_t seed,
             const std::function<bool(const std::string&)>& draws);
  /// Parameters without values, for a caller that loads all of them.
  static VisualRwkv uninitialized(const ModelConfig& config);
  /// Names and shapes of all parameters: tensors on LibTorch's meta device, which have no memory.
  static std::vector<NamedTensor> shapes(const ModelConfig& config);
  VisualRwkv(VisualRwkv&&) noexcept;
  VisualRwkv& operator=(VisualRwkv&&) noexcept;
  ~VisualRwkv();

  /// Brings all parameters to `device` (set_data: handles stay) and computes in `compute_type` from now on.
  void move_to(c10::Device device, c10::ScalarType compute_type);
  c10::Device device() const;
  c10::ScalarType compute_type() const;
  /// Whether this parameter is used in the compute type, and that is not fp32: all but the vectors of
  /// language model and projector, with which is computed in fp32, and the embedding, of which a few rows are
  /// used at a time.
  bool rounds(const NamedTensor& parameter) const;
  /// Casts the parameters that do not learn (requires_grad is off) and round, once instead of at each use. To
  /// be called when their values are there. parameters() lists their originals from now on, bit for bit as
  /// they were and in main memory; the model no longer sees those.
  void cast_frozen();

  /// Ranks are filled in.
  const ModelConfig& config() const;
  /// All parameters under their state_dict names ("rwkv.", then "vit.", then "proj."), in a fixed order. The
  /// tensors are the model's own handles, until cast_frozen(): set_data and requires_grad_ on them are seen
  /// by the model.
  const std::vector<NamedTensor>& parameters() const;

  /// Whether nothing is computed with this parameter: the ends of encoders behind the features in use. It is
  /// there so that what was loaded can be written again whole.
  static bool is_unused(const ModelConfig& config, const std::string& parameter);

  /// Distinct pixel sizes that the encoders want, ascending.
  std::vector<std::int64_t> image_sizes() const;
  /// @param pixels  for each of image_sizes(): (I) pictures, each (3, S, S) uint8, the same I everywhere.
  /// @return        (I, L, D): the encoders' features side by side, before pooling; L = grid * grid.
  /// @throws ShapeError when a size is missing or shapes differ; ConfigError when the model has no encoder.
  at::Tensor encode_images(const std::map<std::int64_t, std::vector<at::Tensor>>& pixels) const;
  /// Averages each image's grid of features to tokens_per_image: (I, L, D) -> (I, P, D).
  at::Tensor pool_images(const at::Tensor& features_ILD) const;
  /// (I, P, D) -> (I, P, C).
  at::Tensor project_images(const at::Tensor& pooled_IPD) const;

  /// @param token_ids  (T) int64. @return (1, T, C); zero where the id is kImageToken.
  /// @throws ShapeError when another id lies outside the vocabulary.
  at::Tensor embed(const at::Tensor& token_ids) const;
  /// Writes each image's features over `embedded` from its start on.
  /// @param embedded        (1, T, C).
  /// @param image_features  (I, P, C): P tokens per image.
  /// @param image_starts    (I) int64: where each image's first token goes; images do not overlap.
  /// @return                (1, T, C); `embedded` itself without images.
  /// @throws ShapeError when sizes differ or an image does not end by T.
  static at::Tensor place_images(const at::Tensor& embedded, const at::Tensor& image_features,
                                 const at::Tensor& image_starts);

  struct BlockResult {
    at::Tensor x;        ///< (1, T, C)
    at::Tensor v_first;  ///< (1, T, C): block 0's value, which later blocks mix into theirs
  };
  /// @param x        (1, T, C).
  /// @param v_first  (1, T, C) as block 0 returned it; block 0 ignores it, later blocks return it as it is.
  /// @param state    where given: read before each sequence's first token, replaced by the state after its
  /// last.
  /// @param kept_states_bytes  at most so many bytes of the recurrence's states are kept for the backward.
  BlockResult block(std::int64_t layer, const at::Tensor& x, const at::Tensor& v_first,
                    const at::Tensor& sequence_starts, LayerState* state = nullptr,
                    std::int64_t kept_states_bytes = std::numeric_limits<std::int64_t>::max()) const;
  at::Tensor final_norm(const at::Tensor& x) const;
  const at::Tensor& head() const;  ///< (V, C): logits = hidden @ head^T

  /// The state before the first token: zeros.
  RwkvState initial_state(std::int64_t sequences) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace vrwkv::model
