// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "trainer/features/feature_store.h"
#include "trainer/features/image_identity.h"

namespace vrwkv::trainer {

/// An image in every size the encoders want, or why there is none.
struct Pixels {
  std::map<std::int64_t, std::vector<at::Tensor>> by_size;  ///< one (3, S, S) uint8 each
  ImageIdentity file;
  std::string defect;
};

/// Reads and resizes images on FeatureJob::threads threads, ahead of who takes them.
class ImageReader {
 public:
  /// @param images  numbers in `job`, which must outlive it, in the order in which they are taken.
  /// @param sizes   sides in pixels.
  ImageReader(const FeatureJob& job, std::vector<std::size_t> images, std::vector<std::int64_t> sizes);

  /// The next image; there must be one. @throws IoError as data::ImageStore::read().
  Pixels next();

 private:
  void work(const std::stop_token& stop);
  Pixels load(const FeatureImage& image) const;

  const FeatureJob& job_;
  const std::vector<std::size_t> images_;
  const std::vector<std::int64_t> sizes_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::size_t begun_ = 0, taken_ = 0;
  std::map<std::size_t, std::future<Pixels>> ready_;  ///< read and not taken, by place in `images_`
  std::vector<std::jthread> threads_;                 ///< last, so that they end before anything they use
};

}  // namespace vrwkv::trainer
