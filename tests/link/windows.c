/* Runs a model in a Windows DLL on Linux. The DLL was linked for a fixed address, so its sections are copied there as a loader would, and
   the functions are called by the convention of Windows. Prints how many digits were right. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "right.h"

static uint64_t number(const unsigned char *at, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)at[i] << 8 * i;
    }
    return v;
}

static unsigned char *load(const char *path) {
    static unsigned char file[1 << 22];
    FILE *f = fopen(path, "rb");
    if (!f || fread(file, 1, sizeof file, f) == 0) {
        return NULL;
    }
    const unsigned char *pe = file + number(file + 0x3c, 4), *optional = pe + 24;
    unsigned char *image = mmap((void *)number(optional + 24, 8), number(optional + 56, 4), PROT_READ | PROT_WRITE | PROT_EXEC,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (image == MAP_FAILED) {
        return NULL;
    }
    const unsigned char *section = optional + number(pe + 20, 2);
    for (uint64_t i = 0; i < number(pe + 6, 2); i++, section += 40) {
        memcpy(image + number(section + 12, 4), file + number(section + 20, 4), number(section + 16, 4));
    }
    return image;
}

static void *exported(unsigned char *image, const char *name) {
    const unsigned char *pe = image + number(image + 0x3c, 4), *table = image + number(pe + 24 + 112, 4);
    for (uint64_t i = 0; i < number(table + 24, 4); i++) {
        if (strcmp((char *)image + number(image + number(table + 32, 4) + 4 * i, 4), name) == 0) {
            uint64_t ordinal = number(image + number(table + 36, 4) + 2 * i, 2);
            return image + number(image + number(table + 28, 4) + 4 * ordinal, 4);
        }
    }
    return NULL;
}

static __attribute__((ms_abi)) int32_t (*call)(const digits_inputs *, const digits_outputs *, void *);

/* By the convention of this system; a null pointer must be refused each time. */
static int32_t invoke(const digits_inputs *in, const digits_outputs *out, void *arena) {
    int32_t status = call(in, out, arena);
    return status == CRANELITE_OK && call(NULL, out, arena) != CRANELITE_NULL_POINTER ? -1 : status;
}

int main(int argc, char **argv) {
    unsigned char *image = argc == 2 ? load(argv[1]) : NULL;
    if (!image) {
        return 2;
    }
    /* The headers, which the loader leaves out: exports are found by them. */
    FILE *f = fopen(argv[1], "rb");
    if (!f || fread(image, 1, 1024, f) != 1024) {
        return 2;
    }
    void *found = exported(image, "digits_invoke");
    const cranelite_model *model = exported(image, "digits_model");
    memcpy(&call, &found, sizeof call);
    if (!found || !model || model->arena_bytes != DIGITS_ARENA_BYTES || !model->call) {
        return 3;
    }
    int right = right_of(invoke);
    if (right < 0) {
        return 4;
    }
    printf("%d\n", right);
    return 0;
}
