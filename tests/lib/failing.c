/* SPDX-License-Identifier: ISC */
/*
 * For tests, preloaded: makes the n-th allocation, or the n-th operation on a
 * file, of certloopd and its children fail. Only what libc is asked for is
 * seen, but of all libraries. The file CERTLOOP_FAILING is shared memory:
 *
 *	way	what is to fail (enum way)
 *	left	so many operations until it does; 0: never
 *	times	so many fail, one after the other
 *	failed	how many did
 *
 * tests/lib/failing.py writes it. Under AddressSanitizer its allocator stays
 * in charge (verify_asan_link_order=0). For one thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum way {
	NOTHING,
	ALLOCATION,
	FILE_FULL,  /* ENOSPC: whatever makes or enlarges one */
	FILE_ILL,   /* EIO: writes and syncs */
	FILE_SHORT, /* half of a write */
};

static struct order {
	volatile uint64_t way, left, times, failed;
} none, *order = &none;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__interceptor_malloc(size_t) __attribute__((weak));
void *__interceptor_calloc(size_t, size_t) __attribute__((weak));
void *__interceptor_realloc(void *, size_t) __attribute__((weak));

static void __attribute__((constructor)) share(void)
{
	const char *path = getenv("CERTLOOP_FAILING");
	bool ours = strcmp(program_invocation_short_name, "certloopd") == 0;
	int fd = ours && path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	close(fd);
	if (p != MAP_FAILED)
		order = p;
}

static bool
fails(enum way way)
{
	if (order->way != way || order->left == 0)
		return false;
	if (order->left > 1) {
		order->left--;
		return false;
	}
	order->failed++;
	if (order->times > 1)
		order->times--;
	else
		order->left = 0;
	return true;
}

/* ---- memory */

void *
malloc(size_t n)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_malloc ? __interceptor_malloc(n) :
				      __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_calloc ? __interceptor_calloc(n, size) :
				      __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __interceptor_realloc ? __interceptor_realloc(p, n) :
				       __libc_realloc(p, n);
}

/* ---- files */

/* A regular file or a folder, and not the log. */
static bool
is_file(int fd)
{
	struct stat st, log;

	return order->left != 0 && fstat(fd, &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) &&
	    (fstat(2, &log) != 0 || st.st_ino != log.st_ino ||
		st.st_dev != log.st_dev);
}

/* How much of a write is done; -1: errno. */
static ssize_t
cut(int fd, size_t n)
{
	int saved = errno;

	if (n > 1 && is_file(fd)) {
		if (fails(FILE_SHORT))
			return (ssize_t)n / 2;
		if (fails(FILE_FULL)) {
			errno = ENOSPC;
			return -1;
		}
		if (fails(FILE_ILL)) {
			errno = EIO;
			return -1;
		}
	}
	errno = saved;
	return (ssize_t)n;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	ssize_t some = cut(fd, n);

	return some < 0 ? -1 : syscall(SYS_write, fd, p, (size_t)some);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	ssize_t some = cut(fd, n);

	return some < 0 ? -1 : syscall(SYS_pwrite64, fd, p, (size_t)some, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwrite64(fd, p, n, at);
}

static int
sync_fd(long call, int fd)
{
	if (is_file(fd) && fails(FILE_ILL)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(call, fd);
}

int
fsync(int fd)
{
	return sync_fd(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return sync_fd(SYS_fdatasync, fd);
}

static bool
is_full(void)
{
	if (!fails(FILE_FULL))
		return false;
	errno = ENOSPC;
	return true;
}

int
rename(const char *from, const char *to)
{
	return is_full() ? -1 : (int)syscall(SYS_rename, from, to);
}

int
link(const char *from, const char *to)
{
	return is_full() ? -1 : (int)syscall(SYS_link, from, to);
}

int
symlink(const char *from, const char *to)
{
	return is_full() ? -1 : (int)syscall(SYS_symlink, from, to);
}

int
mkdir(const char *path, mode_t mode)
{
	return is_full() ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

char *
mkdtemp(char *path)
{
	char *(*next)(char *) = (char *(*)(char *))dlsym(RTLD_NEXT, "mkdtemp");

	return is_full() ? NULL : next(path);
}

int
mkstemp64(char *path)
{
	int (*next)(char *) = (int (*)(char *))dlsym(RTLD_NEXT, "mkstemp64");

	return is_full() ? -1 : next(path);
}

int
mkstemp(char *path)
{
	return mkstemp64(path);
}

int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		if (is_full())
			return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return open64(path, flags, mode);
}
