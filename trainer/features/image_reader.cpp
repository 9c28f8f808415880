// SPDX-License-Identifier: Apache-2.0
#include "trainer/features/image_reader.h"

#include <ATen/ATen.h>

#include <utility>

#include "common/error.h"

namespace vrwkv::trainer {

ImageReader::ImageReader(const FeatureJob& job, std::vector<std::size_t> images,
                         std::vector<std::int64_t> sizes)
    : job_(job), images_(std::move(images)), sizes_(std::move(sizes)) {
  for (int i = 0; i < job.threads; ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

Pixels ImageReader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_.contains(taken_); });
  auto pixels = ready_.extract(taken_++);
  changed_.notify_all();
  lock.unlock();
  return pixels.mapped().get();
}

void ImageReader::work(const std::stop_token& stop) {
  const auto most_ahead = static_cast<std::size_t>(2 * job_.threads);
  std::unique_lock lock(mutex_);
  const auto may_begin = [&] { return begun_ < images_.size() && begun_ < taken_ + most_ahead; };
  while (changed_.wait(lock, stop, may_begin) && !stop.stop_requested()) {
    const std::size_t place = begun_++;
    lock.unlock();
    std::packaged_task<Pixels()> reading([&] { return load(job_.images[images_[place]]); });
    reading();
    lock.lock();
    ready_.emplace(place, reading.get_future());
    changed_.notify_all();
  }
}

Pixels ImageReader::load(const FeatureImage& image) const {
  const data::ImageStore& store = *job_.stores[image.store];
  Pixels pixels;
  try {
    const std::vector<std::uint8_t> bytes = store.read(image.path);
    pixels.file = identity_of(bytes);
    const data::Image decoded = data::decode_image(bytes, store.describe(image.path), job_.options);
    for (const std::int64_t size : sizes_)
      pixels.by_size[size] = {data::resize_to_square(decoded, size, job_.options.resize_order)};
  } catch (const DataError& error) {
    pixels.defect = error.what();
    pixels.file = identity_of(store, image.path);
  }
  return pixels;
}

}  // namespace vrwkv::trainer
