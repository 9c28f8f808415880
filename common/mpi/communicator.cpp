// SPDX-License-Identifier: Apache-2.0
#include "common/mpi/communicator.h"

#include <array>
#include <atomic>
#include <climits>
#include <cstring>
#include <numeric>
#include <thread>

#include "common/error.h"
#include "common/mpi/environment.h"

namespace vrwkv::mpi {
namespace {

using Clock = std::chrono::steady_clock;
std::atomic<double> waited_seconds{0.0};

/// MPI-3 counts are int; larger exchanges are cut by the caller's buckets, so this only guards.
int to_count(std::int64_t elements) {
  if (elements > INT_MAX) throw CommError("MPI: {} elements in one message (at most {}).", elements, INT_MAX);
  return static_cast<int>(elements);
}

struct Layout {
  std::vector<int> counts;
  std::vector<int> offsets;
};

template <class Counts>
Layout make_layout(const Counts& counts) {
  Layout layout;
  std::int64_t offset = 0;
  for (const auto count : counts) {
    layout.counts.push_back(to_count(static_cast<std::int64_t>(count)));
    layout.offsets.push_back(to_count(offset));
    offset += static_cast<std::int64_t>(count);
  }
  return layout;
}

}  // namespace

void check(int code, const char* call, std::source_location place) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw CommError("{} ({}:{}): {}", call, place.file_name(), place.line(),
                  std::string(text.data(), static_cast<std::size_t>(length)));
}

double seconds_waited() noexcept { return waited_seconds.load(); }

void CommunicatorTraits::release(MPI_Comm comm) noexcept {
  if (Environment::is_running()) MPI_Comm_free(&comm);
}

Communicator::Communicator(MPI_Comm handle) : handle_(handle) {
  check(MPI_Comm_set_errhandler(handle, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(handle, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(handle, &size_), "MPI_Comm_size");
}

Communicator Communicator::duplicate(MPI_Comm parent) {
  MPI_Comm copy = MPI_COMM_NULL;
  check(MPI_Comm_dup(parent, &copy), "MPI_Comm_dup");
  return Communicator(copy);
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(get(), color, key, &part), "MPI_Comm_split");
  Communicator result(part);
  result.limit_ = limit_;
  return result;
}

Communicator Communicator::split_by_node() const {
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split_type(get(), MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &part),
        "MPI_Comm_split_type");
  Communicator result(part);
  result.limit_ = limit_;
  return result;
}

void Communicator::wait(MPI_Request request, const char* what) const {
  const auto start = Clock::now();
  int done = 0;
  for (std::int64_t round = 0; done == 0; ++round) {
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done != 0) break;
    // Spin a moment for low latency, then let ranks that share the core work.
    if (round > 2000) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    } else if (round > 20) {
      std::this_thread::yield();
    }
    if (Clock::now() - start > limit_)
      throw CommError(
          "rank {}: {}: waited {} s for the other ranks (one of them hangs or died). "
          "Look for the rank whose log ends first.",
          rank_, what, limit_.count());
  }
  const std::chrono::duration<double> waited = Clock::now() - start;
  waited_seconds = waited_seconds.load() + waited.count();
}

void Communicator::barrier(const char* what) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(get(), &request), "MPI_Ibarrier");
  wait(request, what);
}

void Communicator::broadcast(std::span<std::byte> data, int root, const char* what) const {
  constexpr std::size_t kPiece = std::size_t{1} << 30;
  for (std::size_t offset = 0; offset < data.size(); offset += kPiece) {
    const std::size_t bytes = std::min(kPiece, data.size() - offset);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(data.data() + offset, static_cast<int>(bytes), MPI_BYTE, root, get(), &request),
          "MPI_Ibcast");
    wait(request, what);
  }
}

std::string Communicator::broadcast(const std::string& text, int root, const char* what) const {
  std::uint64_t bytes = text.size();
  broadcast(std::as_writable_bytes(std::span(&bytes, 1)), root, what);
  std::string result = text;
  result.resize(bytes);
  broadcast(std::as_writable_bytes(std::span(result)), root, what);
  return result;
}

std::int64_t Communicator::sum(std::int64_t value, const char* what) const {
  sum(std::span(&value, 1), what);
  return value;
}

std::int64_t Communicator::max(std::int64_t value, const char* what) const {
  reduce_in_place(&value, 1, MPI_INT64_T, MPI_MAX, what);
  return value;
}

double Communicator::max(double value, const char* what) const {
  max(std::span(&value, 1), what);
  return value;
}

void Communicator::sum(std::span<std::int64_t> values, const char* what) const {
  reduce_in_place(values.data(), values.size(), MPI_INT64_T, MPI_SUM, what);
}

void Communicator::max(std::span<double> values, const char* what) const {
  reduce_in_place(values.data(), values.size(), MPI_DOUBLE, MPI_MAX, what);
}

void Communicator::reduce_in_place(void* values, std::size_t count, MPI_Datatype type, MPI_Op operation,
                                   const char* what) const {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallreduce(MPI_IN_PLACE, values, to_count(static_cast<std::int64_t>(count)), type, operation,
                       get(), &request),
        "MPI_Iallreduce");
  wait(request, what);
}

std::vector<std::string> Communicator::all_gather(const std::string& text, const char* what) const {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(size_));
  const auto mine = static_cast<std::int64_t>(text.size());
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(&mine, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, get(), &request),
        "MPI_Iallgather");
  wait(request, what);
  const Layout layout = make_layout(sizes);
  std::string all(static_cast<std::size_t>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})),
                  '\0');
  check(MPI_Iallgatherv(text.data(), to_count(mine), MPI_CHAR, all.data(), layout.counts.data(),
                        layout.offsets.data(), MPI_CHAR, get(), &request),
        "MPI_Iallgatherv");
  wait(request, what);
  std::vector<std::string> result;
  for (std::size_t r = 0; r < sizes.size(); ++r)
    result.push_back(
        all.substr(static_cast<std::size_t>(layout.offsets[r]), static_cast<std::size_t>(sizes[r])));
  return result;
}

std::vector<double> Communicator::all_gather(std::span<const double> values, const char* what) const {
  std::string bytes(values.size_bytes(), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size_bytes());
  std::vector<double> result;
  for (const auto& part : all_gather(bytes, what)) {
    const std::size_t old = result.size();
    result.resize(old + part.size() / sizeof(double));
    if (!part.empty()) std::memcpy(result.data() + old, part.data(), part.size());
  }
  return result;
}

void Communicator::all_to_all(std::span<const float> send, std::span<const std::int64_t> send_counts,
                              std::span<float> receive, std::span<const std::int64_t> receive_counts,
                              const char* what) const {
  const Layout from = make_layout(send_counts);
  const Layout to = make_layout(receive_counts);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ialltoallv(send.data(), from.counts.data(), from.offsets.data(), MPI_FLOAT, receive.data(),
                       to.counts.data(), to.offsets.data(), MPI_FLOAT, get(), &request),
        "MPI_Ialltoallv");
  wait(request, what);
}

void Communicator::all_gather_in_place(std::span<float> data, std::span<const std::int64_t> counts,
                                       const char* what) const {
  const Layout layout = make_layout(counts);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_FLOAT, data.data(), layout.counts.data(), layout.offsets.data(),
                        MPI_FLOAT, get(), &request),
        "MPI_Iallgatherv");
  wait(request, what);
}

}  // namespace vrwkv::mpi
