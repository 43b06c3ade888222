/* SPDX-License-Identifier: ISC */
/*
 * Deaths on demand, for tests: FAULT() stands where a step has just begun or
 * just ended. A build with --enable-faults counts the points that it passes
 * and kills itself at the n-th one after the file named by the environment
 * variable CERTLOOP_FAULT, which holds n (0: at none), has appeared; the file
 * is removed when it is read. In other builds FAULT() is nothing.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "config.h"

#ifdef ENABLE_FAULTS
/* Count this point; does not return from the n-th. */
void fault_here(const char *point);
#define FAULT(point) fault_here(point)
#else
#define FAULT(point) ((void)0)
#endif

#endif
