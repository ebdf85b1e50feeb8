/* A model that keeps a state, `kept`: instances of their own, reset, wrong pointers, threads, profile, self-test and the description. steps.h, written by the
   test, has inputs and outputs of some calls one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cranelite_arena.h"
#include "kept.h"
#include "steps.h"

static void check(int condition, const char *what)
{
    if (!condition) {
        printf("%s\n", what);
        exit(1);
    }
}

static unsigned char *memory(size_t bytes)
{
    unsigned char *p = malloc(bytes + 128);
    check(p != NULL, "no memory");
    memset(p, 0x5a, bytes + 128);
    return p + (64 - (size_t)p % 64) % 64;
}

static void ignore(void *user, uint32_t op, uint32_t call)
{
    (void)op;
    *(uint32_t *)user = call;
}

static int32_t x[KEPT_IN_X_COUNT], y[KEPT_OUT_Y_COUNT];
static unsigned char *arena;
CRANELITE_STATIC_STATE(own, KEPT);

/* In several ways in turn. */
static int right(void *state, int step, int way)
{
    kept_inputs in;
    kept_outputs out;
    cranelite_call all;
    cranelite_status status;
    uint32_t calls = 0;
    memset(&all, 0, sizeof all);
    memcpy(x, steps[step].x, sizeof x);
    memset(y, 0, sizeof y);
    memset(arena, way, KEPT_ARENA_BYTES);
    in.x = x;
    out.y = y;
    all.struct_size = sizeof all;
    all.inputs = &in;
    all.outputs = &out;
    all.arena = arena;
    all.state = state;
    switch (way % 4) {
    case 0: status = kept_invoke(&in, &out, arena, state); break;
    case 1: status = kept_invoke_parallel(&in, &out, arena, state, NULL); break;
    case 2: status = kept_profile(&in, &out, arena, state, ignore, &calls); break;
    default: status = kept_model.call(&all); break;
    }
    return status == CRANELITE_OK && memcmp(y, steps[step].y, sizeof y) == 0;
}

int main(void)
{
    unsigned char *a = memory(KEPT_STATE_BYTES), *b = memory(KEPT_STATE_BYTES), *buffer = memory(KEPT_SELFTEST_BYTES);
    uint32_t wrong = 0;
    int step, way;
    kept_inputs in;
    kept_outputs out;
    arena = memory(KEPT_ARENA_BYTES);
    check(kept_model.state_bytes == KEPT_STATE_BYTES && kept_model.state_align == KEPT_STATE_ALIGN && kept_model.reset == kept_reset, "description");
    check(kept_model.selftest == NULL, "a self-test with other parameters");
    for (way = 0; way < 4; way++) {
        check(kept_reset(a) == CRANELITE_OK && kept_model.reset(b) == CRANELITE_OK, "reset");
        check(a[KEPT_STATE_BYTES] == 0x5a && b[KEPT_STATE_BYTES] == 0x5a, "reset writes beyond the state");
        /* The second instance is one step behind. */
        for (step = 0; step < STEPS; step++) {
            check(right(a, step, way + step), "the first instance");
            check(step == 0 || right(b, step - 1, way), "the second instance");
        }
    }
    check(kept_reset(own) == CRANELITE_OK && right(own, 0, 0) && right(own, 1, 1), "static memory");
    in.x = x;
    out.y = y;
    memset(y, 77, sizeof y);
    memset(a, 77, KEPT_STATE_BYTES);
    check(kept_invoke(&in, &out, arena, NULL) == CRANELITE_NULL_POINTER && kept_reset(NULL) == CRANELITE_NULL_POINTER, "no state");
    check(kept_invoke(&in, &out, arena, a + KEPT_STATE_ALIGN / 2) == CRANELITE_MISALIGNED_ARENA, "state not aligned");
    check(kept_reset(a + KEPT_STATE_ALIGN / 2) == CRANELITE_MISALIGNED_ARENA, "state not aligned");
    check(((unsigned char *)y)[0] == 77 && a[0] == 77 && a[KEPT_STATE_BYTES - 1] == 77, "a refused call touches something");
    for (way = 0; way < 2; way++) {
        check(kept_selftest(arena, a, buffer, &wrong) == CRANELITE_OK && wrong == UINT32_MAX, "selftest");
    }
    check(kept_selftest(arena, NULL, buffer, &wrong) == CRANELITE_NULL_POINTER, "selftest without state");
    check(kept_selftest(arena, a + 1, buffer, &wrong) == CRANELITE_MISALIGNED_ARENA, "selftest with a state that is not aligned");
    return 0;
}
