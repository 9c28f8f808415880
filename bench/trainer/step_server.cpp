// SPDX-License-Identifier: Apache-2.0
// Training steps on request, for the programs of bench/peers/: they time what is written in Python and this
// in turns, on the same weights, tokens and threads.
//   bench_trainer_step_server SHAPE THREADS FILE [fp32|bf16]
// FILE (safetensors, fp32) receives the weights by their names, "token_ids" and "labels" (B, T), the "loss"
// and each "gradient.NAME". Then every line on standard input is answered by a step and a line of JSON.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "bench/trainer/eager_model.h"
#include "bench/trainer/matrix_product_clock.h"
#include "bench/trainer/step_shapes.h"
#include "bench/trainer/trainer_step.h"
#include "common/flush_to_zero.h"
#include "common/mpi/environment.h"
#include "common/tensor_file/tensor_writer.h"
#include "trainer/compute.h"

namespace vrwkv::bench {
namespace {

void write(const std::vector<NamedTensor>& tensors, const std::string& path) {
  using tensor_file::TensorWriter;
  std::vector<tensor_file::TensorHeader> headers;
  for (const auto& [name, tensor] : tensors) headers.push_back({name, tensor.sizes().vec()});
  const auto writer = TensorWriter::create(TensorWriter::Format::kSafetensors, path, headers,
                                           tensor_file::OutputType::kFloat32);
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor values = tensor.detach().to(at::kFloat).contiguous();
    writer->write(
        std::as_bytes(std::span(values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel()))));
  }
  writer->finish();
}

/// `weights` and what comes of them.
std::vector<NamedTensor> first_evaluation(const std::vector<NamedTensor>& weights, const TrainerStep& step,
                                          const data::MicroBatch& batch) {
  const PaddedBatch padded = pad(batch);
  const at::Tensor gradient = step.parameters().new_gradient();
  const double loss = step.gradients(gradient);
  std::vector<NamedTensor> tensors = weights;
  tensors.push_back({"token_ids", padded.token_ids});
  tensors.push_back({"labels", padded.labels});
  tensors.push_back({"loss", at::tensor({loss})});
  const auto views = step.parameters().views(gradient);
  for (std::size_t i = 0; i < views.size(); ++i)
    tensors.push_back({"gradient." + step.parameters().entries()[i].name, views[i]});
  return tensors;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void serve(TrainerStep& step) {
  for (std::string line; std::getline(std::cin, line);) {
    const MatrixProductClock products;
    const double cpu_begin = cpu_seconds();
    const auto begin = std::chrono::steady_clock::now();
    const StepResult result = step();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const nlohmann::ordered_json answer = {{"loss", result.loss},
                                           {"grad_norm", result.grad_norm},
                                           {"seconds", seconds.count()},
                                           {"cpu_seconds", cpu_seconds() - cpu_begin},
                                           {"matrix_product_seconds", products.seconds()}};
    fmt::print("{}\n", answer.dump());
    std::fflush(stdout);
  }
}

/// The parameters as they are, whatever their handles are made to hold later.
std::vector<NamedTensor> copies(const std::vector<NamedTensor>& parameters) {
  std::vector<NamedTensor> copied;
  for (const auto& [name, tensor] : parameters) copied.push_back({name, tensor.clone()});
  return copied;
}

void run(const std::string& name, int threads, const std::string& path, const std::string& precision) {
  at::set_num_threads(threads);
  at::parallel_for(0, threads, 1, [](std::int64_t, std::int64_t) { flush_denormals_to_zero(); });
  const StepShape shape = step_shape(name);
  const auto world = mpi::Communicator::duplicate(MPI_COMM_SELF);
  model::VisualRwkv model = make_model(shape.model);
  const trainer::Compute compute =
      trainer::choose_compute("cpu", precision, trainer::Machine::here(/*local_rank=*/0));
  model.move_to(compute.device, compute.type);
  const std::vector<NamedTensor> weights = copies(model.parameters());
  const data::MicroBatch batch = make_batch(shape, {});
  TrainerStep step(model, trainer::TrainableParts::of_stage(2), batch, world);
  write(first_evaluation(weights, step, batch), path);
  fmt::print("ready\n");
  std::fflush(stdout);
  serve(step);
}

}  // namespace
}  // namespace vrwkv::bench

int main(int argc, char** argv) {
  const vrwkv::mpi::Environment environment(&argc, &argv);
  if (argc != 4 && argc != 5) {
    fmt::print(stderr, "usage: bench_trainer_step_server SHAPE THREADS FILE [fp32|bf16]\n");
    return 2;
  }
  try {
    vrwkv::flush_denormals_to_zero();
    vrwkv::bench::run(argv[1], std::stoi(argv[2]), argv[3], argc == 5 ? argv[4] : "fp32");
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_trainer_step_server: {}\n", error.what());
    return 1;
  }
}
