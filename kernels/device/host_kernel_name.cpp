// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/host_kernel_name.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string_view>

namespace vrwkv::kernels::device::host {
namespace {

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  std::string bytes(static_cast<std::size_t>(file.tellg()), '\0');
  file.seekg(0).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

/// The thing at a place in a file's bytes; all zeros where they end before.
template <class Value>
Value read_at(std::string_view bytes, std::size_t at) {
  Value value{};
  if (at <= bytes.size() && bytes.size() - at >= sizeof value) std::memcpy(&value, &bytes[at], sizeof value);
  return value;
}

/// The symbol at an address within the file's image, whatever its visibility. (dladdr() knows exported ones
/// only, and kernels are not.)
std::string symbol_at(std::string_view file, std::uintptr_t image, std::uintptr_t address) {
  const auto header = read_at<ElfW(Ehdr)>(file, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "";
  const auto section = [&](std::size_t index) {
    return read_at<ElfW(Shdr)>(file, header.e_shoff + index * sizeof(ElfW(Shdr)));
  };
  for (int index = 0; index < header.e_shnum; ++index) {
    const auto symbols = section(index);
    if (symbols.sh_type != SHT_SYMTAB) continue;
    const auto names = section(symbols.sh_link);
    for (std::size_t at = 0; at < symbols.sh_size; at += sizeof(ElfW(Sym))) {
      const auto symbol = read_at<ElfW(Sym)>(file, symbols.sh_offset + at);
      const std::uintptr_t base = header.e_type == ET_DYN ? image : 0;
      if ((symbol.st_info & 0xF) != STT_FUNC || base + symbol.st_value != address) continue;
      const std::string_view name = file.substr(names.sh_offset + symbol.st_name);
      return std::string(name.substr(0, name.find('\0')));
    }
  }
  return "";
}

/// "forward_kernel<64>" of "void vrwkv::(anonymous namespace)::forward_kernel<64>(Inputs)".
std::string without_scope_and_parameters(std::string name) {
  constexpr std::string_view kUnnamed = "(anonymous namespace)::";
  for (auto at = name.find(kUnnamed); at != std::string::npos; at = name.find(kUnnamed)) {
    name.erase(at, kUnnamed.size());
  }
  std::size_t begin = 0;
  int depth = 0;  // of template arguments
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (depth > 0) continue;
    if (name[i] == '(') return name.substr(begin, i - begin);
    if (name[i] == ' ' || name[i] == ':') begin = i + 1;
  }
  return name;
}

std::string look_up(const void* kernel) {
  Dl_info where{};
  if (dladdr(kernel, &where) == 0) return "";
  return symbol_at(read_file(where.dli_fname), reinterpret_cast<std::uintptr_t>(where.dli_fbase),
                   reinterpret_cast<std::uintptr_t>(kernel));
}

}  // namespace

std::string kernel_symbol(const void* kernel) {
  thread_local std::map<const void*, std::string> known;
  const auto [symbol, is_new] = known.try_emplace(kernel);
  if (is_new) symbol->second = look_up(kernel);
  return symbol->second;
}

std::string kernel_name(const void* kernel) {
  const std::string symbol = kernel_symbol(kernel);
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), std::free);
  return readable == nullptr ? symbol : without_scope_and_parameters(readable.get());
}

}  // namespace vrwkv::kernels::device::host
