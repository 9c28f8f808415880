// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "common/error.h"

namespace vrwkv::tensor_file {

/// Little-endian numbers and strings out of untrusted bytes, one after the other.
class ByteReader {
 public:
  /// @param name  begins every message.
  ByteReader(std::string_view bytes, const std::string& name, std::size_t position = 0)
      : bytes_(bytes), name_(name), position_(position) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  /// @throws CheckpointError when fewer bytes are left.
  std::string_view take(std::uint64_t count) {
    if (position_ > bytes_.size() || count > remaining())
      throw CheckpointError("{}: ends too early (it was cut off or damaged). Fetch the file again.", name_);
    const std::string_view taken = bytes_.substr(position_, count);
    position_ += count;
    return taken;
  }
  template <class Number>
  Number number() {
    static_assert(std::is_trivially_copyable_v<Number>);
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

 private:
  std::string_view bytes_;
  const std::string& name_;
  std::size_t position_;
};

[[noreturn]] inline void throw_damaged(const std::string& name, const std::string& what) {
  throw CheckpointError("{}: {} (the file is damaged or not what it seems). Fetch the file again.", name,
                        what);
}

}  // namespace vrwkv::tensor_file
