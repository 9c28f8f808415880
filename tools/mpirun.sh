#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mpirun for tests and demonstrations on one machine: as root if need be, more ranks than cores, loopback only.
set -euo pipefail
root=()
[ "$(id -u)" != 0 ] || root=(--allow-run-as-root)
exec mpirun "${root[@]}" --oversubscribe --bind-to none --mca pml ob1 --mca btl self,vader,tcp --mca btl_tcp_if_include lo \
  --mca oob_tcp_if_include lo --mca mpi_yield_when_idle 1 --mca btl_vader_single_copy_mechanism none "$@"
