// SPDX-License-Identifier: Apache-2.0
#include "trainer/core_share.h"

#include <sched.h>

#include <thread>

namespace vrwkv::trainer {

std::string core_mask() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0)  // there are more than a cpu_set_t holds
    return std::string(std::thread::hardware_concurrency(), '1');
  std::string mask;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) mask += CPU_ISSET(core, &cores) ? '1' : '0';
  return mask.substr(0, mask.find_last_of('1') + 1);
}

int share_of_cores(const std::vector<std::string>& masks, std::size_t rank) {
  const auto has = [](const std::string& mask, std::size_t core) {
    return core < mask.size() && mask[core] == '1';
  };
  double share = 0;
  for (std::size_t core = 0; core < masks[rank].size(); ++core) {
    if (!has(masks[rank], core)) continue;
    int ranks = 0;
    for (const std::string& mask : masks) ranks += has(mask, core) ? 1 : 0;
    share += 1.0 / ranks;
  }
  return static_cast<int>(share + 1e-6);  // three thirds are one
}

int share_of_cores(const mpi::Communicator& world) {
  const mpi::Communicator node = world.split_by_node();
  return share_of_cores(node.all_gather(core_mask(), "cores"), static_cast<std::size_t>(node.rank()));
}

}  // namespace vrwkv::trainer
