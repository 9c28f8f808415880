// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "data/ledger/verify_ledger.h"
#include "data/mixture_order.h"

/// The header of a ledger: what it takes to compute the data order again, without the data, and to tell the
/// data from other data.
namespace vrwkv::data {

/// One line of JSON: order, seed, of each source samples, samples_per_epoch, takes_all, and the mixture's
/// fingerprint.
std::string ledger_header(const MixtureOrder& mixture_order, std::uint64_t seed, SampleOrder order,
                          std::uint64_t fingerprint);

/// The order that a header describes.
/// @throws DataError "what is wrong" (the caller says where) when it is not ledger_header()'s.
LedgerOrder ledger_order(const std::string& header);

/// The mixture's fingerprint in a header. @throws DataError likewise.
std::uint64_t ledger_fingerprint(const std::string& header);

}  // namespace vrwkv::data
