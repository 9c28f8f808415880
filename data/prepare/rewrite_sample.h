// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "data/prepare/sample_plan.h"

namespace vrwkv::data {

/// A JSON text without white space between its tokens; each token keeps its bytes.
/// @param text  valid JSON.
std::string without_spaces(std::string_view text);

/// The JSON of one part of a sample, without white space between tokens. Everything but what the plan changes
/// is carried over byte for byte: other keys of the sample and of its turns, numbers, escapes, the order.
/// @param text       the sample, as parse_record() accepts it.
/// @param id_suffix  appended to `id` and `sample_id`; a number becomes a string then. Needs no escapes.
std::string rewrite_sample(std::string_view text, const SamplePart& part, std::string_view id_suffix);

}  // namespace vrwkv::data
