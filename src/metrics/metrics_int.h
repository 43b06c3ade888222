/* SPDX-License-Identifier: ISC */
/* Inside metrics. */
#ifndef METRICS_METRICS_INT_H
#define METRICS_METRICS_INT_H

#include "base/buf.h"

/* The state of this process, from /proc. */
void metrics_write_process(struct buf *out);

/* A number as OpenMetrics writes one: 1.0, 0.25. */
void metrics_write_number(struct buf *out, double);

#endif
