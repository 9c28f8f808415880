// SPDX-License-Identifier: Apache-2.0
#include "trainer/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "common/log.h"

namespace vrwkv::trainer {
namespace {

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::int64_t first_step, std::int64_t last_step)
    : first_step_(first_step), last_step_(last_step), terminal_(isatty(STDERR_FILENO) == 1) {
  log::set_quiet(terminal_);
}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stderr);
  log::set_quiet(false);
}

void Progress::show(const StepMetrics& metrics) {
  constexpr double kSmoothing = 0.1;
  const double rate = static_cast<double>(metrics.tokens) / std::max(metrics.step_seconds, 1e-9);
  const bool first = metrics.step == first_step_;
  seconds_per_step_ += (first ? 1.0 : kSmoothing) * (metrics.step_seconds - seconds_per_step_);
  tokens_per_second_ += (first ? 1.0 : kSmoothing) * (rate - tokens_per_second_);
  const double eta = seconds_per_step_ * static_cast<double>(last_step_ - metrics.step);
  if (terminal_) {
    draw_bar(metrics, eta);
    drawn_ = true;
    return;
  }
  const auto now = Clock::now();
  if (!first && metrics.step != last_step_ && now - last_line_ < std::chrono::seconds(10)) return;
  last_line_ = now;
  log::information("step {}/{}  loss {:.4f}  norm {:.3f}  rate {:.2e}  {:.0f} tokens/s  {} left",
                   metrics.step, last_step_, metrics.loss, metrics.grad_norm, metrics.learning_rate,
                   tokens_per_second_, clock_text(eta));
}

void Progress::draw_bar(const StepMetrics& metrics, double eta_seconds) const {
  constexpr std::int64_t kWidth = 30;
  const std::int64_t filled = kWidth * metrics.step / std::max<std::int64_t>(1, last_step_);
  const std::string bar = std::string(static_cast<std::size_t>(filled), '=') +
                          std::string(static_cast<std::size_t>(kWidth - filled), ' ');
  fmt::print(stderr, "\r[{}] {}/{}  loss {:.4f}  {:.0f} tokens/s  {} left \033[K", bar, metrics.step,
             last_step_, metrics.loss, tokens_per_second_, clock_text(eta_seconds));
  std::fflush(stderr);
}

}  // namespace vrwkv::trainer
