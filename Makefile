# SPDX-License-Identifier: Apache-2.0
# The two commands of the README. Both set up what is missing; a second call finds everything done.
.PHONY: quickstart test

quickstart:
	@tools/quickstart.sh

test:
	@tools/test.sh
