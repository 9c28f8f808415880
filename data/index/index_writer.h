// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "data/index/sample_index.h"

namespace vrwkv::data {

/// Where the index of a data file lies when its folder can be written: beside it.
std::filesystem::path index_beside(const std::filesystem::path& data_file);

/// Reads a data file once from begin to end, renders and tokenizes every sample, and returns the bytes of its
/// index. Holds the index (some 100 bytes a sample and its distinct image paths), never the text.
/// @throws DataError "file:line: ..." at the first thing that is malformed, and when there is no sample.
/// Samples that cannot be rendered or taught are facts of the index and no errors.
std::string make_index(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                       ConversationRules rules);

/// The index of a data file: the one beside it or in `fallback_folder` ("": none), whichever was made from
/// this file, vocabulary and rules; else it is made and written beside the file or, where that fails, in
/// `fallback_folder`. An index that is damaged counts as stale. Processes may do this at the same time.
/// @throws DataError as make_index() does.  @throws IoError when it can be written nowhere.
SampleIndex open_or_make_index(const std::filesystem::path& data_file, const Tokenizer& tokenizer,
                               ConversationRules rules, const std::filesystem::path& fallback_folder = {});

}  // namespace vrwkv::data
