/* test_http1_portable.c - all of test_http1.c once more, with the strides that need no SIMD: what other processors run.
 * SPDX-License-Identifier: MIT
 * The parser is compiled into this program, so that the archive's own is not linked. */
#undef __SSE2__
#include "server/http1.c"

#include "test_http1.c"
