// SPDX-License-Identifier: Apache-2.0
#include "trainer/eval/generate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/text/python_text.h"
#include "kernels/fp32_product/fp32_product.h"
#include "trainer/model/layers.h"

namespace vrwkv::eval {
namespace {

/// Runs tokens (1, T, C) through all blocks, carrying the state on; the id of the likeliest next token.
std::int64_t advance(const model::VisualRwkv& model, at::Tensor x, model::RwkvState& state) {
  const at::Tensor one_sequence = at::zeros({1}, at::kLong);
  at::Tensor v_first;
  for (std::size_t layer = 0; layer < state.size(); ++layer) {
    const auto result =
        model.block(static_cast<std::int64_t>(layer), x, v_first, one_sequence, &state[layer]);
    x = result.x;
    v_first = result.v_first;
  }
  const at::Tensor last = model.final_norm(x.narrow(1, x.size(1) - 1, 1)).view({1, -1});
  // Of logits in bf16 some would be equal, and the first of them chosen.
  const at::Tensor logits = kernels::fp32_product(last, model::typed_as(model.head(), last).t());
  return logits.argmax().item<std::int64_t>();
}

/// Chooses the next token again and again; `given` is what was said since the last choice, as embeddings.
class Decoder {
 public:
  Decoder(const model::VisualRwkv& model, const GenerateOptions& options)
      : model_(model), options_(options), state_(model.initial_state(1)) {}

  std::int64_t next(const at::Tensor& given_1TC) {
    if (!options_.left_padding) return advance(model_, given_1TC, state_);
    sequence_ = sequence_.defined() ? at::cat({sequence_, given_1TC}, 1) : given_1TC;
    // The prompt itself is never cut, as in the original.
    const std::int64_t seen =
        answered_ ? std::min(sequence_.size(1), options_.context_length) : sequence_.size(1);
    answered_ = true;
    sequence_ = sequence_.narrow(1, sequence_.size(1) - seen, seen);
    const std::int64_t padding = (kMultiple - seen % kMultiple) % kMultiple;
    const at::Tensor stop = model_.embed(at::full({padding}, data::kStopToken, at::kLong));
    model::RwkvState fresh = model_.initial_state(1);
    return advance(model_, at::cat({stop, sequence_}, 1), fresh);
  }

 private:
  static constexpr std::int64_t kMultiple = 16;

  const model::VisualRwkv& model_;
  const GenerateOptions& options_;
  model::RwkvState state_;
  at::Tensor sequence_;  ///< with left_padding: all that was seen and said
  bool answered_ = false;
};

}  // namespace

std::string generate(const model::VisualRwkv& model, const data::Tokenizer& tokenizer,
                     const data::MicroBatch& prompt, const GenerateOptions& options) {
  const at::NoGradGuard no_grad;
  at::Tensor x = model.embed(prompt.token_ids);
  if (prompt.image_starts.numel() > 0)
    x = model::VisualRwkv::place_images(
        x, model.project_images(model.pool_images(model.encode_images(prompt.pixels))), prompt.image_starts);
  Decoder decoder(model, options);
  std::vector<std::int64_t> answer;
  while (static_cast<std::int64_t>(answer.size()) < options.max_new_tokens) {
    const std::int64_t token = decoder.next(x);
    if (token == data::kStopToken || token == 0) break;
    answer.push_back(token);
    if (options.on_token) options.on_token(tokenizer.bytes(token));
    x = model.embed(at::tensor({token}, at::kLong));
  }
  const std::string text = tokenizer.decode(answer);
  return std::string(data::strip(std::string_view(text).substr(0, text.find("\n\n"))));
}

}  // namespace vrwkv::eval
