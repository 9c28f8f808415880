// SPDX-License-Identifier: Apache-2.0
#include "data/prepare/prepare_file.h"

#include <fmt/core.h>

#include <limits>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/file_system.h"
#include "common/output_file.h"
#include "data/prepare/python_shuffle.h"
#include "data/prepare/rewrite_sample.h"
#include "data/text/json_array.h"
#include "data/text/sample_file.h"

namespace vrwkv::data {
namespace {

/// Where a sample of the output comes from.
struct Origin {
  static constexpr std::uint32_t kWhole = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t begin = 0;
  std::uint32_t bytes = 0;
  std::uint32_t part = kWhole;  ///< kWhole: it is as it was
  std::int64_t record = 0;
  std::int64_t line = 0;
};

std::string part_json(std::string_view text, const SamplePlan& plan, std::size_t part, std::int64_t record) {
  return rewrite_sample(text, plan.parts[part],
                        plan.parts.size() == 1 ? "" : fmt::format("#{}-{}", record, part));
}

/// A JSON array, one element a line.
class ArrayWriter {
 public:
  explicit ArrayWriter(const std::filesystem::path& path) : file_(path) {}

  void add(std::string_view json) {
    pending_.append(is_empty_ ? "[\n" : ",\n").append(json);
    is_empty_ = false;
    if (pending_.size() >= kPiece) flush();
  }
  void commit() {
    pending_.append("\n]\n");
    flush();
    file_.commit();
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 20;
  void flush() {
    file_.append(pending_);
    pending_.clear();
  }
  OutputFile file_;
  std::string pending_;
  bool is_empty_ = true;
};

void note(PrepareSummary& summary, const Record& record, const SamplePlan& plan) {
  ++summary.samples_in;
  summary.samples_out += plan.is_as_it_was() ? 1 : static_cast<std::int64_t>(plan.parts.size());
  summary.split_samples += plan.parts.size() > 1 ? 1 : 0;
  summary.dropped_rounds += plan.dropped_rounds;
  const auto add = [&](PrepareFinding::Kind kind, std::string message) {
    summary.findings.push_back({kind, record.index, record.line, record.id, std::move(message)});
  };
  if (!plan.oddity.empty()) {
    ++summary.odd_samples;
    add(PrepareFinding::Kind::kOdd, plan.oddity + ": passed on as it is");
  } else if (plan.parts.empty()) {
    ++summary.dropped_samples;
    add(PrepareFinding::Kind::kDroppedSample, "no question has an answer: the sample is left out");
  } else if (plan.dropped_rounds > 0) {
    add(PrepareFinding::Kind::kDroppedRounds,
        fmt::format("{} of {} questions have no answer and are left out", plan.dropped_rounds,
                    (record.turns.size() + 1) / 2));
  }
}

class Preparation {
 public:
  Preparation(const std::filesystem::path& input, const std::filesystem::path& output,
              const PrepareOptions& options)
      : options_(options), file_(map_data_file(input)), name_(input.string()), writer_(output) {}

  PrepareSummary run() {
    const std::string_view content = file_.content();
    JsonArrayScanner scanner(content, name_);
    std::size_t held = 0;  // what was read before is no longer in memory
    while (const auto element = scanner.next()) {
      const auto begin = static_cast<std::size_t>(element->text.data() - content.data());
      take(element->text, {.begin = begin,
                           .bytes = static_cast<std::uint32_t>(element->text.size()),
                           .record = summary_.samples_in,
                           .line = element->line});
      if (begin - held < kPiece) continue;
      file_.drop(held, begin - held);
      held = begin;
    }
    require_samples();
    if (options_.shuffle_seed) write_shuffled();
    writer_.commit();
    return std::move(summary_);
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{8} << 20;

  Record read(std::string_view text, const Origin& origin) const {
    return parse_record(text, name_, origin.line, origin.record);
  }

  void take(std::string_view text, Origin origin) {
    const Record record = read(text, origin);
    const SamplePlan plan = plan_sample(record, options_.rules);
    note(summary_, record, plan);
    const std::size_t outputs = plan.is_as_it_was() ? 1 : plan.parts.size();
    for (std::size_t i = 0; i < outputs; ++i) {
      if (!plan.is_as_it_was()) origin.part = static_cast<std::uint32_t>(i);
      if (options_.shuffle_seed) {
        order_.push_back(origin);
      } else {
        write(text, origin, plan);
      }
    }
  }

  void require_samples() const {
    if (summary_.samples_in == 0) throw DataError("{}: holds no samples. Check [data] file.", name_);
    if (summary_.samples_out == 0)
      throw DataError("{}: no question of its {} samples has an answer (nothing is left to learn from).",
                      name_, summary_.samples_in);
  }

  void write(std::string_view text, const Origin& origin, const SamplePlan& plan) {
    writer_.add(origin.part == Origin::kWhole ? without_spaces(text)
                                              : part_json(text, plan, origin.part, origin.record));
  }

  /// Reads the samples from the file again: through the mapping, each would bring its neighbours into memory.
  void write_shuffled() {
    python_shuffle(order_, *options_.shuffle_seed);
    const FileDescriptor file = open_to_read(name_);
    std::string text;
    for (const Origin& origin : order_) {
      text.resize(origin.bytes);
      if (read_at(file, name_, origin.begin, text) != text.size())
        throw DataError("{}: is shorter than when it was opened. Start again.", name_);
      write(text, origin,
            origin.part == Origin::kWhole ? SamplePlan{} : plan_sample(read(text, origin), options_.rules));
    }
  }

  const PrepareOptions& options_;
  const MappedFile file_;
  const std::string name_;
  ArrayWriter writer_;
  std::vector<Origin> order_;
  PrepareSummary summary_;
};

}  // namespace

void require_other_output(const std::filesystem::path& input, const std::filesystem::path& output) {
  for (const auto& overwritten : {output, OutputFile::partial_path(output)})
    if (std::error_code failure; std::filesystem::equivalent(input, overwritten, failure))
      throw ConfigError("{}: is the input itself (it would be lost). Name another output.",
                        overwritten.string());
}

PrepareSummary prepare_file(const std::filesystem::path& input, const std::filesystem::path& output,
                            const PrepareOptions& options) {
  require_other_output(input, output);
  return Preparation(input, output, options).run();
}

}  // namespace vrwkv::data
