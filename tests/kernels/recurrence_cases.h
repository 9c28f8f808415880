// SPDX-License-Identifier: Apache-2.0
// The shapes and kinds of input that every implementation of a recurrence is compared with its reference by,
// and pieces of a whole that hand states and their gradients on. `Case` and `Tensors` are those of
// wkv6_cases.h or wkv7_cases.h.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "tests/kernels/input_kind.h"

namespace vrwkv::test {

/// `like` in every kind, with one head, which carries states, and with three: around a chunk's 16 tokens,
/// some chunks, and packed sequences of odd lengths.
template <class Case>
std::vector<Case> short_cases(Case like) {
  std::vector<Case> cases;
  for (const InputKind kind : kEveryInputKind) {
    for (const std::int64_t heads : {1, 3}) {
      like.kind = kind;
      like.heads = heads;
      for (const std::int64_t tokens : {1, 15, 16, 17, 48}) {
        like.tokens = tokens;
        like.sequence_starts = {0};
        like.carries_state = heads == 1 || tokens == 1;  // else nothing depends on the decay
        cases.push_back(like);
      }
      like.tokens = 62;
      like.sequence_starts = {0, 1, 18, 33};  // of 1, 17, 15 and 29 tokens
      like.carries_state = true;
      cases.push_back(like);
    }
  }
  return cases;
}

/// `like` of 2,048 tokens, in every kind.
template <class Case>
std::vector<Case> long_cases(Case like) {
  std::vector<Case> cases;
  for (const InputKind kind : kEveryInputKind) {
    like.kind = kind;
    like.tokens = 2048;
    like.heads = 1;
    like.sequence_starts = {0};
    like.carries_state = true;
    cases.push_back(like);
  }
  like.kind = InputKind::kRandom;
  like.heads = 3;
  like.carries_state = false;
  cases.push_back(like);
  return cases;
}

template <class Case>
std::vector<Case> all_cases(const Case& like) {
  std::vector<Case> cases = short_cases(like);
  for (const Case& c : long_cases(like)) cases.push_back(c);
  return cases;
}

/// The results of `whole`, a case of one sequence that carries states, computed in four pieces of odd
/// lengths: each begins with the state that the one before ends with, and hands the gradient of its own back.
/// @param results_of  (case, tensors): y, the final state, the gradients of all inputs and of the initial
/// state.
template <class ResultsOf, class Case, class Tensors>
std::vector<at::Tensor> results_in_pieces(const ResultsOf& results_of, const Case& whole,
                                          const Tensors& tensors) {
  const std::vector<std::int64_t> bounds = {0, 16, 33, 64, whole.tokens};
  std::vector<at::Tensor> states = {tensors.initial_state};
  const auto results_of_piece = [&](std::size_t i, const at::Tensor& final_state_gradient) {
    Case piece = whole;
    piece.tokens = bounds[i + 1] - bounds[i];
    Tensors of_piece = tokens_of(tensors, bounds[i], bounds[i + 1]);
    of_piece.initial_state = states[i];
    of_piece.gradient_final_state = final_state_gradient;
    return results_of(piece, of_piece);
  };
  for (std::size_t i = 0; i < 4; ++i) states.push_back(results_of_piece(i, tensors.gradient_final_state)[1]);
  std::vector<at::Tensor> joined = results_of_piece(3, tensors.gradient_final_state);
  for (std::size_t i = 3; i-- > 0;) {
    const std::vector<at::Tensor> piece = results_of_piece(i, joined.back());
    for (std::size_t result = 0; result < joined.size(); ++result) {
      if (joined[result].dim() == 4) joined[result] = at::cat({piece[result], joined[result]}, 1);
      if (joined[result].dim() == 2) joined[result] = piece[result] + joined[result];  // of a parameter
    }
    joined.back() = piece.back();
  }
  return joined;
}

}  // namespace vrwkv::test
