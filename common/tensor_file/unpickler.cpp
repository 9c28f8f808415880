// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/unpickler.h"

#include <bit>
#include <cstring>

#include "common/tensor_file/byte_reader.h"

namespace vrwkv::tensor_file {
namespace {

using Ref = PickleObject::Ref;

constexpr std::size_t kMostObjects = 2'000'000;

/// The machine of Python's pickletools: a stack, marks in it, and a memo.
class Machine {
 public:
  Machine(std::string_view bytes, const std::string& name) : reader_(bytes, name), name_(name) {}

  Pickle run() {
    while (true) {
      const auto opcode = reader_.number<std::uint8_t>();
      if (opcode == '.') break;
      if (!constant(opcode) && !container(opcode) && !memo(opcode) && !call(opcode))
        throw CheckpointError(
            "{}: its pickle uses operation 0x{:02x} (tensors in a dictionary never do). Save the state_dict "
            "alone with torch.save.",
            name_, opcode);
    }
    pickle_.root = pop();
    return std::move(pickle_);
  }

 private:
  Ref add(PickleObject object) {
    if (pickle_.objects.size() >= kMostObjects)
      throw CheckpointError("{}: its pickle holds more than {} objects (no model does).", name_,
                            kMostObjects);
    pickle_.objects.push_back(std::move(object));
    return static_cast<Ref>(pickle_.objects.size() - 1);
  }
  void push(PickleObject object) { stack_.push_back(add(std::move(object))); }
  void push_integer(std::int64_t value) { push({.kind = PickleKind::kInteger, .integer = value}); }
  void push_text(std::string_view text) { push({.kind = PickleKind::kText, .text = text}); }

  [[noreturn]] void damaged(const char* what) const { throw_damaged(name_, what); }

  Ref pop() {
    if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size()))
      damaged("its pickle takes more than it made");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }
  /// What was pushed since the last mark.
  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) damaged("its pickle lacks a mark");
    std::vector<Ref> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::vector<Ref> pop_some(std::size_t count) {
    std::vector<Ref> items(count);
    for (std::size_t i = count; i > 0; --i) items[i - 1] = pop();
    return items;
  }
  PickleObject& top_of(PickleKind kind, const char* problem) {
    const Ref top = pop();
    stack_.push_back(top);
    if (pickle_.objects[top].kind != kind) damaged(problem);
    return pickle_.objects[top];
  }

  bool constant(std::uint8_t opcode) {
    switch (opcode) {
      case 0x80:
        reader_.take(1);
        return true;  // PROTO
      case 0x95:
        reader_.take(8);
        return true;  // FRAME
      case 'N':
        push({});
        return true;
      case 0x88:
        push_integer(1);
        return true;
      case 0x89:
        push_integer(0);
        return true;
      case 'J':
        push_integer(reader_.number<std::int32_t>());
        return true;
      case 'K':
        push_integer(reader_.number<std::uint8_t>());
        return true;
      case 'M':
        push_integer(reader_.number<std::uint16_t>());
        return true;
      case 0x8a:
        push_integer(long_integer());
        return true;
      case 'G':
        reader_.take(8);
        push({.kind = PickleKind::kFloat});
        return true;
      case 'X':
        push_text(reader_.take(reader_.number<std::uint32_t>()));
        return true;
      case 'T':
        push_text(reader_.take(reader_.number<std::uint32_t>()));
        return true;
      case 0x8c:
        push_text(reader_.take(reader_.number<std::uint8_t>()));
        return true;
      case 'U':
        push_text(reader_.take(reader_.number<std::uint8_t>()));
        return true;
      case 0x8d:
        push_text(reader_.take(reader_.number<std::uint64_t>()));
        return true;
      default:
        return false;
    }
  }

  /// LONG1: a two's complement number of up to 8 bytes.
  std::int64_t long_integer() {
    const std::string_view bytes = reader_.take(reader_.number<std::uint8_t>());
    if (bytes.size() > sizeof(std::int64_t)) damaged("its pickle holds a huge integer");
    if (bytes.empty()) return 0;
    std::int64_t value = static_cast<signed char>(bytes.back()) < 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

  bool container(std::uint8_t opcode) {
    switch (opcode) {
      case '(':
        if (marks_.size() >= kMostObjects) damaged("its pickle nests too deeply");
        marks_.push_back(stack_.size());
        return true;
      case ')':
        push({.kind = PickleKind::kTuple});
        return true;
      case ']':
        push({.kind = PickleKind::kList});
        return true;
      case '}':
        push({.kind = PickleKind::kDict});
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push({.kind = PickleKind::kTuple, .elements = pop_some(opcode - 0x84U)});
        return true;
      case 't':
        push({.kind = PickleKind::kTuple, .elements = pop_to_mark()});
        return true;
      case 'a':
        append(PickleKind::kList, pop_some(1));
        return true;
      case 'e':
        append(PickleKind::kList, pop_to_mark());
        return true;
      case 's':
        append(PickleKind::kDict, pop_some(2));
        return true;
      case 'u':
        append(PickleKind::kDict, pop_to_mark());
        return true;
      case '0':
        pop();
        return true;
      default:
        return false;
    }
  }

  void append(PickleKind kind, const std::vector<Ref>& items) {
    if (kind == PickleKind::kDict && items.size() % 2 != 0) damaged("its pickle has a key without a value");
    auto& elements = top_of(kind, "its pickle fills what is no container").elements;
    elements.insert(elements.end(), items.begin(), items.end());
  }

  bool memo(std::uint8_t opcode) {
    switch (opcode) {
      case 'q':
        remember(reader_.number<std::uint8_t>());
        return true;
      case 'r':
        remember(reader_.number<std::uint32_t>());
        return true;
      case 0x94:
        remember(static_cast<std::uint32_t>(memo_.size()));
        return true;
      case 'h':
        recall(reader_.number<std::uint8_t>());
        return true;
      case 'j':
        recall(reader_.number<std::uint32_t>());
        return true;
      default:
        return false;
    }
  }
  void remember(std::uint32_t place) {
    if (memo_.size() >= kMostObjects) damaged("its pickle remembers too much");
    memo_[place] = pop();
    stack_.push_back(memo_[place]);
  }
  void recall(std::uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) damaged("its pickle recalls what it never kept");
    stack_.push_back(found->second);
  }

  bool call(std::uint8_t opcode) {
    switch (opcode) {
      case 'c': {
        const std::string_view module = line();
        push({.kind = PickleKind::kGlobal, .text = module, .name = line()});
        return true;
      }
      case 0x93: {
        const std::vector<Ref> names = pop_some(2);
        push({.kind = PickleKind::kGlobal, .text = text(names[0]), .name = text(names[1])});
        return true;
      }
      case 'Q':
        push({.kind = PickleKind::kStorage, .elements = {pop()}});
        return true;
      case 'R':
        reduce();
        return true;
      case 'b':
        pop();
        return true;  // BUILD: attributes such as _metadata
      default:
        return false;
    }
  }
  std::string_view line() {
    std::size_t length = 0;
    ByteReader ahead = reader_;
    while (ahead.number<char>() != '\n') ++length;
    const std::string_view taken = reader_.take(length);
    reader_.take(1);
    return taken;
  }
  std::string_view text(Ref ref) {
    if (pickle_.at(ref).kind != PickleKind::kText) damaged("its pickle names something by no text");
    return pickle_.at(ref).text;
  }

  void reduce() {
    const std::vector<Ref> pair = pop_some(2);
    const PickleObject& callable = pickle_.at(pair[0]);
    if (callable.kind != PickleKind::kGlobal || pickle_.at(pair[1]).kind != PickleKind::kTuple)
      damaged("its pickle calls what cannot be called");
    const std::string called = fmt::format("{}.{}", callable.text, callable.name);
    const std::vector<Ref>& arguments = pickle_.at(pair[1]).elements;
    if (called == "torch._utils._rebuild_tensor_v2" || called == "torch._utils._rebuild_tensor") {
      if (arguments.size() < 4) damaged("its pickle makes a tensor of too little");
      push({.kind = PickleKind::kTensor,
            .elements = std::vector<Ref>(arguments.begin(), arguments.begin() + 4)});
    } else if ((called == "torch._utils._rebuild_parameter" || called == "torch.Size") &&
               !arguments.empty()) {
      stack_.push_back(arguments[0]);
    } else if (called == "collections.OrderedDict") {
      push({.kind = PickleKind::kDict, .elements = pairs_of(arguments)});
    } else {
      throw CheckpointError(
          "{}: its pickle would call {} (only tensors are read; nothing was run). Save the state_dict alone "
          "with torch.save.",
          name_, called);
    }
  }

  /// OrderedDict(), or OrderedDict([[key, value], ...]).
  std::vector<Ref> pairs_of(const std::vector<Ref>& arguments) {
    std::vector<Ref> elements;
    if (arguments.empty()) return elements;
    for (const Ref pair : pickle_.at(arguments[0]).elements) {
      // A list that is recalled again and again would be copied as often.
      if (++copied_pairs_ > kMostObjects) damaged("its pickle copies too much");
      if (pickle_.at(pair).elements.size() != 2) damaged("its pickle has a key without a value");
      elements.insert(elements.end(), pickle_.at(pair).elements.begin(), pickle_.at(pair).elements.end());
    }
    return elements;
  }

  ByteReader reader_;
  const std::string& name_;
  Pickle pickle_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
  std::size_t copied_pairs_ = 0;
};

}  // namespace

Pickle unpickle(std::string_view bytes, const std::string& name) { return Machine(bytes, name).run(); }

}  // namespace vrwkv::tensor_file
