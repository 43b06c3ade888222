/* SPDX-License-Identifier: ISC */
/* Lower-case hexadecimal. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* Two lower-case digits a byte. */
struct str hex_encode(struct arena *, struct str);

/* Even number of digits of either case; false otherwise. */
bool hex_decode(struct arena *, struct str, struct str *out);

#endif
