// SPDX-License-Identifier: Apache-2.0
// How fast one core tokenizes. `--benchmark_format=json` for scripts; MB/s are decimal.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "common/random.h"
#include "data/text/tokenizer.h"

namespace vrwkv::data {
namespace {

constexpr const char* kVocabulary = VRWKV_SOURCE_DIR "/.deps/rwkv_vocab_v20230424.txt";

/// One megabyte of what a text repeats; the trie is larger than the text's tokens, so this flatters caches a
/// little.
std::string repeated(const std::string& passage) {
  std::string text;
  while (text.size() < 1'000'000) text += passage;
  return text;
}

const std::string kEnglish = repeated(
    "The image shows a busy street corner where several people wait for the bus. On the left, a woman in a "
    "red coat "
    "holds an umbrella, while two children play near the fountain. What color is the car parked behind the "
    "tree?\n"
    "Answer the question using a single word or phrase.\nReference OCR token: STOP, 24, Main St, EXIT\n");
const std::string kChinese = repeated(
    "图片中显示了一个繁忙的街角，几个人正在等公共汽车。左边，一位穿红色外套的女士拿着雨伞，两个孩子在喷泉附近"
    "玩耍。"
    "停在树后的汽车是什么颜色？请用一个词或短语回答问题。\n");

/// One megabyte of all tokens in disorder, so that nearly each look-up misses the cache: the worst case.
std::string all_tokens() {
  const Tokenizer tokenizer = Tokenizer::load(kVocabulary);
  std::string text;
  for (std::uint64_t i = 1; text.size() < 1'000'000; ++i)
    text += tokenizer.bytes(static_cast<std::int64_t>(mix64(i) % kFullVocabularySize));
  return text;
}

void encode(benchmark::State& state, const std::string& text, std::int64_t vocabulary_size) {
  const Tokenizer tokenizer = Tokenizer::load(kVocabulary, vocabulary_size);
  std::vector<std::int64_t> token_ids;
  for (auto _ : state) {
    token_ids.clear();
    tokenizer.encode(text, token_ids);
    benchmark::DoNotOptimize(token_ids.data());
  }
  const auto bytes = static_cast<double>(text.size()) * static_cast<double>(state.iterations());
  state.counters["MB/s"] = benchmark::Counter(bytes / 1e6, benchmark::Counter::kIsRate);
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(token_ids.size());
}

void load(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(kVocabulary));
}

BENCHMARK_CAPTURE(encode, english, kEnglish, kFullVocabularySize);
BENCHMARK_CAPTURE(encode, chinese, kChinese, kFullVocabularySize);
BENCHMARK_CAPTURE(encode, all_tokens, all_tokens(), kFullVocabularySize);
BENCHMARK_CAPTURE(encode, english_vocabulary_4096, kEnglish, 4096);
BENCHMARK(load)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vrwkv::data

BENCHMARK_MAIN();
