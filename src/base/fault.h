/* SPDX-License-Identifier: ISC */
/*
 * Deaths on demand, for tests: FAULT() stands where a step has just begun or
 * just ended. A build with --enable-faults counts the points that it passes
 * and kills itself at the n-th one after the file named by the environment
 * variable CERTLOOP_FAULT, which holds n (0: at none), has appeared; the file
 * is removed when it is read. In other builds FAULT() is nothing.
 *
 * Failures on demand: where an operation has its one place, FAILS("failing-WAY")
 * asks whether this one is to fail in that way, as operations of its kind do
 * in life. With --enable-faults the n-th that asks so fails after the file
 * named by CERTLOOP_FAIL, which holds "failing-WAY n", has appeared; the file
 * is removed when it is read, and standard error says that it failed. It may
 * be there before the start. In other builds FAILS() is false. Allocations and
 * writes to files are libc's: tests/lib/failing.c makes those fail.
 *
 * Bugs on demand, for the proof that tests/lib/checker.py finds them: with
 * --enable-faults, PLANTED("planted-NAME") is true if the environment variable
 * CERTLOOP_PLANT is planted-NAME. In other builds it is false, and the names
 * are not in the program.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#include "config.h"

#ifdef ENABLE_FAULTS
/* Count this point; does not return from the n-th. */
void fault_here(const char *point);
#define FAULT(point) fault_here(point)

/* Count this operation: is it the one that is to fail in this way? */
bool fault_fails(const char *way);
#define FAILS(way) fault_fails(way)

/* Is this the bug that the environment asks for? */
bool fault_is_planted(const char *bug);
#define PLANTED(bug) fault_is_planted(bug)
#else
#define FAULT(point) ((void)0)
#define FAILS(way) false
#define PLANTED(bug) false
#endif

#endif
