// SPDX-License-Identifier: Apache-2.0
#include "common/tensor_file/torch_writer.h"

#include <string>
#include <string_view>

#include "common/error.h"

namespace vrwkv::tensor_file {
namespace {

const char* storage_name(OutputType type) {
  if (type == OutputType::kFloat32) return "FloatStorage";
  return type == OutputType::kFloat16 ? "HalfStorage" : "BFloat16Storage";
}

/// A pickle, protocol 2, without a memo: nothing in it is shared.
class PickleText {
 public:
  PickleText() : text_("\x80\x02") {}

  void operation(char opcode) { text_ += opcode; }
  void global(std::string_view module, std::string_view name) {
    text_.append("c").append(module).append("\n").append(name).append("\n");
  }
  void text(std::string_view value) {
    text_ += 'X';
    number(static_cast<std::uint32_t>(value.size()));
    text_ += value;
  }
  void integer(std::int64_t value) {
    text_ += "\x8a\x08";
    number(value);
  }
  void integers(const std::vector<std::int64_t>& values) {
    operation('(');
    for (const std::int64_t value : values) integer(value);
    operation('t');
  }
  void ordered_dict() {
    global("collections", "OrderedDict");
    text_ += ")R";
  }
  std::string take() { return std::move(text_); }

 private:
  template <class Number>
  void number(Number value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string text_;
};

std::vector<std::int64_t> row_major_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d > 1; --d) strides[d - 2] = strides[d - 1] * shape[d - 1];
  return strides;
}

/// name: _rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, hooks={}).
void add_tensor(PickleText& pickle, const TensorHeader& tensor, std::size_t index, OutputType type) {
  pickle.text(tensor.name);
  pickle.global("torch._utils", "_rebuild_tensor_v2");
  pickle.operation('(');
  pickle.operation('(');
  pickle.text("storage");
  pickle.global("torch", storage_name(type));
  pickle.text(std::to_string(index));
  pickle.text("cpu");
  pickle.integer(tensor.numel());
  pickle.operation('t');
  pickle.operation('Q');
  pickle.integer(0);
  pickle.integers(tensor.shape);
  pickle.integers(row_major_strides(tensor.shape));
  pickle.operation('\x89');
  pickle.ordered_dict();
  pickle.operation('t');
  pickle.operation('R');
}

std::string pickle_of(const std::vector<TensorHeader>& tensors, OutputType type) {
  PickleText pickle;
  pickle.ordered_dict();
  pickle.operation('(');
  for (std::size_t i = 0; i < tensors.size(); ++i) add_tensor(pickle, tensors[i], i, type);
  pickle.operation('u');
  pickle.operation('.');
  return pickle.take();
}

}  // namespace

TorchWriter::TorchWriter(const std::filesystem::path& path, std::vector<TensorHeader> tensors,
                         OutputType type)
    : tensors_(std::move(tensors)), type_(type), archive_(path, path.stem().string()) {
  archive_.add("data.pkl", pickle_of(tensors_, type_));
  archive_.add("byteorder", "little");
  begin_tensor();
}

std::uint64_t TorchWriter::bytes_of(std::size_t tensor) const {
  return static_cast<std::uint64_t>(tensors_[tensor].numel() * element_bytes(type_));
}

void TorchWriter::begin_tensor() {
  written_ = 0;
  for (; current_ < tensors_.size(); ++current_) {
    archive_.begin("data/" + std::to_string(current_), bytes_of(current_));
    if (bytes_of(current_) > 0) return;
    archive_.end();
  }
}

void TorchWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (current_ == tensors_.size() || written_ + bytes.size() > bytes_of(current_))
    throw ShapeError("torch file: more bytes were written than its tensors have");
  archive_.append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  written_ += bytes.size();
  if (written_ < bytes_of(current_)) return;
  archive_.end();
  ++current_;
  begin_tensor();
}

void TorchWriter::finish() {
  if (current_ != tensors_.size())
    throw ShapeError("torch file: tensor '{}' was not written", tensors_[current_].name);
  archive_.add("version", "3\n");
  archive_.finish();
}

}  // namespace vrwkv::tensor_file
