// SPDX-License-Identifier: Apache-2.0
// Bytes as a data file: refused with an error of ours, or records that can be rendered, or say why not, and
// whose lengths hold for any number of tokens an image.
#include <cstdint>
#include <string_view>

#include "common/error.h"
#include "data/text/conversation.h"
#include "data/text/json_array.h"

namespace {

using namespace vrwkv::data;

const Tokenizer& tokenizer() {
  static const Tokenizer loaded = Tokenizer::load(VRWKV_SOURCE_DIR "/.deps/rwkv_vocab_v20230424.txt");
  return loaded;
}

void render(const Record& record, ConversationRules rules) {
  try {
    const Encoded encoded = encode_conversation(record, tokenizer(), 3, rules);
    const ConversationShape shape = shape_of(encoded, 3);
    if (shape.tokens(3) != static_cast<std::int64_t>(encoded.token_ids.size())) __builtin_trap();
    if (shape_of(encode_conversation(record, tokenizer(), 0, rules), 0).text_before_image !=
        shape.text_before_image)
      __builtin_trap();
    for (const std::int64_t context : {1, 7, 4096}) training_defect(shape, context, 3, rules);
  } catch (const vrwkv::DataError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  try {
    JsonArrayScanner scanner({reinterpret_cast<const char*>(bytes), size}, "fuzz");
    while (const auto element = scanner.next()) {
      const Record record = parse_record(element->text, "fuzz", element->line, 0);
      for (const auto rules : {ConversationRules::kStrict, ConversationRules::kVisualRwkv})
        render(record, rules);
    }
  } catch (const vrwkv::DataError&) {
  }
  return 0;
}
