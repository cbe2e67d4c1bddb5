/* Replays a corpus through a fuzz target where libFuzzer is not at hand (gcc, release builds).
 * Owns: reading the files of the folders it is given, each handed over in a heap copy of
 * its exact size, so that a sanitizer sees a read past the end.
 * Must not know: what the target parses. Tested by: the fuzz targets themselves. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st)) {
        perror(path);
        return -1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, f) != size) {
        fprintf(stderr, "%s: cannot read\n", path);
        return -1;
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

static long replay_dir(const char *dir)
{
    long files = 0;
    char path[4096];
    DIR *d = opendir(dir);
    if (!d) {
        perror(dir);
        return -1;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (replay_file(path)) {
            closedir(d);
            return -1;
        }
        files++;
    }
    closedir(d);
    return files;
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long files = replay_dir(argv[i]);
        if (files < 0)
            return 1;
        total += files;
    }
    printf("%ld inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
