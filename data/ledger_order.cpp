// SPDX-License-Identifier: Apache-2.0
#include "data/ledger_order.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/error.h"

namespace vrwkv::data {

using Json = nlohmann::ordered_json;

namespace {

/// More samples than any mixture has, and few enough for the order's arithmetic.
constexpr std::int64_t kMostSamples = std::int64_t{1} << 48;

std::uint64_t number_in(const Json& object, const char* key, std::uint64_t least, std::uint64_t most) {
  const Json& number = object.at(key);
  const auto value = number.is_number_unsigned() ? number.get<std::uint64_t>() : 0;
  if (!number.is_number_unsigned() || value < least || value > most)
    throw DataError("the header does not describe a data order ('{}' is {})", key, number.dump());
  return value;
}

/// A number of samples, added to the `total` of its kind.
std::int64_t add_samples(const Json& source, const char* key, std::int64_t& total) {
  const auto most = static_cast<std::uint64_t>(kMostSamples - total);
  const auto samples = static_cast<std::int64_t>(number_in(source, key, 1, most));
  total += samples;
  return samples;
}

}  // namespace

std::string ledger_header(const MixtureOrder& mixture_order, std::uint64_t seed, SampleOrder order,
                          std::uint64_t fingerprint) {
  Json sources = Json::array();
  for (const SourceSize& source : mixture_order.sources())
    sources.push_back({{"samples", source.samples},
                       {"samples_per_epoch", source.samples_per_epoch},
                       {"takes_all", source.takes_all}});
  return Json{{"order", order == SampleOrder::kVisualRwkv ? "visualrwkv" : "bijection"},
              {"seed", seed},
              {"sources", sources},
              {"fingerprint", fmt::format("{:016x}", fingerprint)}}
      .dump();
}

LedgerOrder ledger_order(const std::string& header) {
  try {
    const Json json = Json::parse(header);
    std::vector<SourceSize> sources;
    std::int64_t records = 0, places = 0;
    for (const Json& source : json.at("sources")) {
      sources.push_back({add_samples(source, "samples", records),
                         add_samples(source, "samples_per_epoch", places), source.at("takes_all")});
      const SourceSize& size = sources.back();
      if (size.takes_all && size.samples != size.samples_per_epoch)
        throw DataError("the header does not describe a data order (all {} samples of a source in {} places)",
                        size.samples, size.samples_per_epoch);
    }
    const auto order = json.at("order") == "visualrwkv" ? SampleOrder::kVisualRwkv : SampleOrder::kBijection;
    const MixtureOrder mixture(sources, number_in(json, "seed", 0, ~std::uint64_t{0}), order);
    return {[mixture](std::int64_t position) { return mixture.at(position); },
            records,
            mixture.pass_length(),
            Substitution(mixture.pass_length()),
            [mixture](std::int64_t record) { return mixture.most_per_pass(record); },
            mixture.left_out_per_pass()};
  } catch (const Json::exception& error) {
    throw DataError("the header does not describe a data order ({})", error.what());
  } catch (const ConfigError& error) {
    throw DataError("the header does not describe a data order ({})", error.what());
  }
}

std::uint64_t ledger_fingerprint(const std::string& header) {
  const Json json = Json::parse(header, nullptr, /*allow_exceptions=*/false);
  const std::string text = json.is_object() ? json.value("fingerprint", Json()).dump() : "";
  std::uint64_t fingerprint = 0;
  // In quotes.
  const char* const end = text.data() + text.size();
  if (text.size() != 18 || std::from_chars(text.data() + 1, end - 1, fingerprint, 16).ptr != end - 1)
    throw DataError("the header does not describe a data order ('fingerprint' is {})", text);
  return fingerprint;
}

}  // namespace vrwkv::data
