/* Runs the self-test of `model`, misuses it, and then corrupts every byte of the constants in turn. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cranelite_arena.h"
#include "model.h"

extern unsigned char __start_constants[], __stop_constants[];

CRANELITE_STATIC_ARENA(arena, MODEL);
static CRANELITE_ALIGNED(MODEL_SELFTEST_ALIGN) unsigned char buffer[MODEL_SELFTEST_BYTES + 1];

static void check(int condition, const char *what) {
    if (!condition) {
        printf("%s\n", what);
        exit(1);
    }
}

int main(void) {
    uint32_t wrong = 99;
    cranelite_status status = model_selftest(arena, buffer, &wrong);
    printf("status %d, output %d\n", (int)status, (int)wrong);
    check(status == CRANELITE_OK && wrong == UINT32_MAX, "not right");
    check(model_selftest(arena, buffer, NULL) == CRANELITE_OK, "the answer may be null");
    check(model_selftest(arena, NULL, &wrong) == CRANELITE_NULL_POINTER, "no buffer");
    check(MODEL_ARENA_BYTES == 0 || model_selftest(NULL, buffer, &wrong) == CRANELITE_NULL_POINTER, "no arena");
    check(model_selftest(arena, buffer + 1, &wrong) == CRANELITE_MISALIGNED_ARENA, "buffer not aligned");
    check(model_model.selftest == model_selftest && model_model.selftest_bytes == MODEL_SELFTEST_BYTES, "descriptor");
    buffer[MODEL_SELFTEST_BYTES] = 77;

    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)__start_constants / page * page;
    check(mprotect((void *)first, (uintptr_t)__stop_constants - first, PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect");
    unsigned long named[3] = {0, 0, 0};
    for (unsigned char *byte = __start_constants; byte < __stop_constants; byte++) {
        *byte ^= 0x40;
        status = model_selftest(arena, buffer, &wrong);
        *byte ^= 0x40;
        check(status == CRANELITE_OK ? wrong == UINT32_MAX : status == CRANELITE_SELFTEST_FAILED && wrong < model_model.output_count,
              "neither right nor wrong");
        named[status == CRANELITE_OK ? 2 : wrong == 0 ? 0 : 1]++;
    }
    printf("named %lu %lu %lu\n", named[0], named[1], named[2]);
    check(model_selftest(arena, buffer, &wrong) == CRANELITE_OK && buffer[MODEL_SELFTEST_BYTES] == 77, "not right afterwards");
    return 0;
}
