// SPDX-License-Identifier: Apache-2.0
#include "data/ledger/ledger_file.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/crc32c.h"
#include "common/error.h"

namespace vrwkv::data {
namespace {

constexpr std::string_view kMagic = "vrwkvlg1";
constexpr std::size_t kChecked = 8;  ///< of a frame's head: what its own checksum covers
constexpr std::size_t kFrameHead = kChecked + 4;

void put_u32(std::string& bytes, std::uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(number >> shift));
}

std::uint32_t u32_at(const char* bytes) {
  std::uint32_t number = 0;
  for (int i = 3; i >= 0; --i) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

std::string frame_of(const std::string& payload) {
  std::string frame;
  put_u32(frame, static_cast<std::uint32_t>(payload.size()));
  put_u32(frame, crc32c(payload.data(), payload.size()));
  put_u32(frame, crc32c(frame.data(), frame.size()));
  return frame + payload;
}

CheckpointError damaged(const DataError& error) {
  return CheckpointError("{}. Restore the file.", error.what());
}

/// Where the first `steps` entries end. @throws DataError, CheckpointError.
std::uint64_t end_of(const std::filesystem::path& file, std::int64_t steps) {
  LedgerReader reader(file);
  for (std::int64_t step = 1; step <= steps; ++step) {
    const auto entry = reader.next();
    if (!entry)
      throw CheckpointError(
          "{}: {} entries but the checkpoint was written after step {} (nobody could say which samples the "
          "steps between saw). Restore the file.",
          file.string(), step - 1, steps);
    if (entry->step != step)
      throw CheckpointError("{}: entry {} is of step {}. Restore the file.", file.string(), step,
                            entry->step);
  }
  return reader.position();
}

}  // namespace

LedgerReader::LedgerReader(const std::filesystem::path& file) : file_(file), stream_(file, std::ios::binary) {
  std::error_code failure;
  size_ = std::filesystem::file_size(file, failure);
  if (failure || !stream_)
    throw DataError("{}: cannot be opened ({})", file.string(),
                    failure ? failure.message() : std::strerror(errno));
  std::array<char, kMagic.size()> magic{};
  stream_.read(magic.data(), magic.size());
  if (!stream_ || std::string_view(magic.data(), magic.size()) != kMagic)
    throw DataError("{}: is no ledger (it does not begin with '{}')", file.string(), kMagic);
  position_ = kMagic.size();
  auto header = next_frame("the header");
  if (!header) throw DataError("{}: ends within its header", file.string());
  header_ = std::move(*header);
}

std::optional<std::string> LedgerReader::next_frame(const std::string& what) {
  if (size_ - position_ < kFrameHead) return {};
  std::array<char, kFrameHead> head{};
  stream_.read(head.data(), head.size());
  if (!stream_) throw DataError("{}: cannot be read to its end", file_.string());
  // A length that is not the writer's would pass for the end of the file.
  if (crc32c(head.data(), kChecked) != u32_at(head.data() + kChecked))
    throw DataError("{}: {}: the checksum of its length differs (bytes were changed)", file_.string(), what);
  const std::uint64_t bytes = u32_at(head.data());
  if (size_ - position_ - kFrameHead < bytes) return {};
  std::string payload(bytes, '\0');
  stream_.read(payload.data(), static_cast<std::streamsize>(bytes));
  if (!stream_) throw DataError("{}: cannot be read to its end", file_.string());
  if (crc32c(payload.data(), payload.size()) != u32_at(head.data() + 4))
    throw DataError("{}: {}: the checksum differs (bytes were changed)", file_.string(), what);
  position_ += kFrameHead + bytes;
  return payload;
}

std::optional<LedgerEntry> LedgerReader::next() {
  const std::string what = fmt::format("entry {}", entries_ + 1);
  const auto payload = next_frame(what);
  if (!payload) return {};
  ++entries_;
  try {
    return decode(*payload);
  } catch (const DataError& error) {
    throw DataError("{}: {}: {}", file_.string(), what, error.what());
  }
}

void require_header(const std::filesystem::path& file, const std::string& header) {
  std::string begun_with;
  try {
    begun_with = LedgerReader(file).header();
  } catch (const DataError& error) {
    throw damaged(error);
  }
  if (begun_with != header)
    throw DataError(
        "{}: the run was begun on other data than it would go on with ({} then, {} now). Go back to "
        "that data, or train on with this in another run directory and [model] initial_model = \"{}\".",
        file.string(), begun_with, header, file.parent_path().string());
}

LedgerWriter::LedgerWriter(const std::filesystem::path& file, const std::string& header, std::int64_t steps)
    : file_(file) {
  if (steps == 0) {
    write_file_atomically(file, std::string(kMagic) + frame_of(header));
  } else {
    require_header(file, header);
    try {
      std::filesystem::resize_file(file, end_of(file, steps));
    } catch (const DataError& error) {
      throw damaged(error);
    } catch (const std::filesystem::filesystem_error& error) {
      throw IoError("{}: cannot be cut ({})", file.string(), error.code().message());
    }
  }
  descriptor_ = FileDescriptor(::open(file.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!descriptor_) throw IoError("{}: cannot be opened ({})", file.string(), std::strerror(errno));
}

void LedgerWriter::append(const LedgerEntry& entry) {
  if (!write_all(descriptor_.get(), frame_of(encode(entry))))
    throw IoError("{}: the entry of step {} cannot be written ({})", file_.string(), entry.step,
                  std::strerror(errno));
}

}  // namespace vrwkv::data
