/* `picked` gives the rows of a table that its input names: row i has the numbers 10 i, 10 i + 1 and 10 i + 2. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picked.h"

static void check(int condition, const char *what) {
    if (!condition) {
        printf("%s\n", what);
        exit(1);
    }
}

static void ignore(void *user, uint32_t op, uint32_t call) {
    (void)user;
    (void)op;
    (void)call;
}

static _Alignas(64) unsigned char arena[PICKED_ARENA_BYTES + 64], buffer[PICKED_SELFTEST_BYTES + 16];
static int32_t picks[4];
static float rows[14];

static cranelite_status call(int way) {
    picked_inputs in = {picks};
    picked_outputs out = {rows + 1};
    cranelite_status status;
    memset(arena, 0x5a, sizeof arena);
    rows[0] = rows[13] = -1.0f;
    status = way == 0   ? picked_invoke(&in, &out, arena)
             : way == 1 ? picked_invoke_parallel(&in, &out, arena, NULL)
                        : picked_profile(&in, &out, arena, ignore, NULL);
    check(rows[0] == -1.0f && rows[13] == -1.0f, "written beside the output");
    for (size_t i = PICKED_ARENA_BYTES; i < sizeof arena; i++) {
        check(arena[i] == 0x5a, "written behind the arena");
    }
    return status;
}

int main(void) {
    static const int32_t wrong[] = {-1, 7, 8, 1 << 30, INT_MAX, INT_MIN};
    for (int way = 0; way < 3; way++) {
        for (int i = 0; i < 7; i++) {
            for (int k = 0; k < 4; k++) {
                picks[k] = (i + 3 * k) % 7;
            }
            check(call(way) == CRANELITE_OK, "right indices");
            for (int k = 0; k < 12; k++) {
                check(rows[1 + k] == (float)(10 * picks[k / 3] + k % 3), "another row");
            }
            for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
                int32_t right = picks[i % 4];
                picks[i % 4] = wrong[w];
                check(call(way) == CRANELITE_INDEX_OUT_OF_RANGE, "a wrong index");
                picks[i % 4] = right;
                check(call(way) == CRANELITE_OK, "right indices after a wrong one");
            }
        }
    }
    uint32_t output = 0;
    check(picked_selftest(arena, buffer, &output) == CRANELITE_OK && output == UINT32_MAX, "self-test");
    return 0;
}
