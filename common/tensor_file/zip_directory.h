// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace vrwkv::tensor_file {

/// Name of an entry -> its bytes, inside those of the archive.
using ZipEntries = std::unordered_map<std::string, std::string_view>;

/// Lists an archive whose entries are stored, not compressed, as torch.save writes them; zip64 included
/// (APPNOTE.TXT 6.3, sections 4.3.7 to 4.3.16). @throws CheckpointError "name: ...".
ZipEntries read_zip_directory(std::string_view archive, const std::string& name);

}  // namespace vrwkv::tensor_file
