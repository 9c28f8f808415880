// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vrwkv::tensor_file {

/// What a pickle can hold here.
enum class PickleKind { kNone, kInteger, kFloat, kText, kTuple, kList, kDict, kGlobal, kStorage, kTensor };

/// One object; others are named by their place in Pickle::objects, so that cycles need no owner.
struct PickleObject {
  using Ref = std::uint32_t;

  PickleKind kind = PickleKind::kNone;
  std::int64_t integer = 0;        ///< kInteger; booleans, too
  std::string_view text = {};      ///< kText; kGlobal: the module
  std::string_view name = {};      ///< kGlobal: the name in it
  std::vector<Ref> elements = {};  ///< kTuple, kList; kDict: key, value, key, value ...; kStorage: its
                                   ///< persistent id; kTensor: storage, offset, sizes, strides
};

struct Pickle {
  std::vector<PickleObject> objects;
  PickleObject::Ref root = 0;

  const PickleObject& at(PickleObject::Ref ref) const { return objects[ref]; }
};

/// Interprets a pickle (protocols 2 to 5) of what torch.save writes for tensors in dictionaries. Of all that
/// a pickle may call, only the rebuilding of tensors and parameters, OrderedDict and torch.Size exist, and
/// they only fill in a PickleObject: no code runs, whatever the bytes. The result refers to `bytes`.
/// @throws CheckpointError "name: ..." on anything else, or on more than two million objects.
Pickle unpickle(std::string_view bytes, const std::string& name);

}  // namespace vrwkv::tensor_file
