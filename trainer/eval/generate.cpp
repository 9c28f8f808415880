// SPDX-License-Identifier: Apache-2.0
#include "trainer/eval/generate.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

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
  const at::Tensor last = model.final_norm(x.narrow(1, x.size(1) - 1, 1)).view({-1});
  return at::mv(model.head(), last).argmax().item<std::int64_t>();
}

std::string strip(const std::string& text) {
  const char* blank = " \t\n\r\f\v";
  const std::size_t first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

std::string generate(const model::VisualRwkv& model, const data::Tokenizer& tokenizer,
                     const data::MicroBatch& prompt, const GenerateOptions& options) {
  const at::NoGradGuard no_grad;
  at::Tensor x = model.embed(prompt.token_ids);
  if (prompt.image_starts.numel() > 0)
    x = model::VisualRwkv::place_images(x, model.project_images(model.encode_images(prompt.pixels)),
                                        prompt.image_starts);
  model::RwkvState state = model.initial_state(1);
  std::vector<std::int64_t> answer;
  while (static_cast<std::int64_t>(answer.size()) < options.max_new_tokens) {
    const std::int64_t token = advance(model, x, state);
    if (token == data::kStopToken || token == 0) break;
    answer.push_back(token);
    if (options.on_token) options.on_token(tokenizer.bytes(token));
    x = model.embed(at::tensor({token}, at::kLong));
  }
  const std::string text = tokenizer.decode(answer);
  return strip(text.substr(0, text.find("\n\n")));
}

}  // namespace vrwkv::eval
