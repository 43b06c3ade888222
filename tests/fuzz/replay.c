/* SPDX-License-Identifier: ISC */
/*
 * A main for fuzz targets without a fuzzer: runs every file of the given
 * folders, or the files that are given, through the target once. Arguments
 * that begin with a hyphen are the fuzzer's and passed over. Fails if a
 * folder is missing or empty.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX = 1 << 20 };

static int
complain(const char *path, const char *why)
{
	fprintf(stderr, "%s: %s\n", path, why);
	return 1;
}

static int
run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data, *exact;
	size_t n;

	if (f == NULL)
		return complain(path, strerror(errno));
	if ((data = malloc(INPUT_MAX)) == NULL)
		abort();
	n = fread(data, 1, INPUT_MAX, f);
	(void)fclose(f);
	/* exactly so much, for the sanitizer to see reads past the end */
	if ((exact = malloc(n > 0 ? n : 1)) == NULL)
		abort();
	memcpy(exact, data, n);
	free(data);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

static int
run_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[4096];
	int bad = 0, n = 0;

	if (dir == NULL)
		return complain(path, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		bad += run_file(file);
		n++;
	}
	closedir(dir);
	printf("%s: %d inputs\n", path, n);
	return n > 0 ? bad : complain(path, "no inputs");
}

int
main(int argc, char **argv)
{
	struct stat st;
	int bad = 0, n = 0;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-')
			continue;
		if (stat(argv[i], &st) == 0 && S_ISREG(st.st_mode))
			bad += run_file(argv[i]);
		else
			bad += run_folder(argv[i]);
		n++;
	}
	if (n == 0)
		bad = complain(argv[0], "no inputs given");
	return bad != 0;
}
