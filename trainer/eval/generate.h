// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "data/text/tokenizer.h"
#include "trainer/model/visual_rwkv.h"

namespace vrwkv::eval {

struct GenerateOptions {
  std::int64_t max_new_tokens = 128;
  /// As the original decodes: for each token the whole sequence runs again, with the embedding of the stop
  /// token in front of it as often as makes its length a multiple of 16. Slow; shifts logits a little.
  bool left_padding = false;
  std::int64_t context_length = 2048;  ///< with left_padding: only so many last tokens are seen
  /// Called with the bytes of each token as it is chosen (possibly a part of a character).
  std::function<void(std::string_view)> on_token;
};

/// Answers `prompt` (a packed micro-batch of one sequence) greedily: the prompt runs once, then each token
/// costs one step of the recurrent state (without left_padding). Ends at the stop token, at id 0 or after
/// max_new_tokens; the text is cut at its first blank line and stripped
/// as in Python.
std::string generate(const model::VisualRwkv& model, const data::Tokenizer& tokenizer,
                     const data::MicroBatch& prompt, const GenerateOptions& options);

}  // namespace vrwkv::eval
