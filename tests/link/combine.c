/* `plain`, and the same model with the options that IO_ARENA, WEIGHTS, LEVELS, THREADS and SELF_TEST say, `combined`, which keeps a state if STATE is
   defined: equal outputs, by typed functions and by the description, nothing written beyond the arena, and wrong pointers refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "combined.h"
#include "plain.h"

#ifdef IO_ARENA
#define IO
#else
#define IO in, out,
#endif
#ifdef STATE
#define STATE_ARGUMENT , state
#else
#define STATE_ARGUMENT
#endif
#ifdef WEIGHTS
#define WEIGHTS_ARGUMENT , weights
#else
#define WEIGHTS_ARGUMENT
#endif

static void check(int condition, const char *what) {
    if (!condition) {
        printf("%s\n", what);
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static unsigned char *memory(uint64_t bytes) {
    unsigned char *p = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
    check(p != NULL, "no memory");
    memset(p, 0x5a, (size_t)(bytes + 127) / 64 * 64);
    return p;
}

#ifdef THREADS
static void count(void *user, uint32_t op, uint32_t call) {
    (void)op;
    *(uint32_t *)user = call;
}

static int32_t backwards(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count) {
    (void)user;
    while (0 < count) {
        task(context, --count);
    }
    return 0;
}
#endif

int main(void) {
    const cranelite_model *const p = &plain_model, *const c = &combined_model;
    void *inputs[8], *outputs[8], *placed_inputs[8], *placed_outputs[8];
    unsigned char *arena = memory(c->arena_bytes + 1), *plain_arena = memory(p->arena_bytes);
    unsigned char *state = memory(c->state_bytes), *plain_state = memory(p->state_bytes), *weights = NULL;
    (void)state;
    (void)weights;
    for (uint32_t i = 0; i < p->input_count; i++) {
        inputs[i] = placed_inputs[i] = memory(p->inputs[i].bytes);
#ifdef IO_ARENA
        check(c->inputs[i].arena_offset + c->inputs[i].bytes <= c->arena_bytes, "an input beyond the arena");
        placed_inputs[i] = arena + c->inputs[i].arena_offset;
#endif
    }
    for (uint32_t i = 0; i < p->output_count; i++) {
        outputs[i] = memory(p->outputs[i].bytes);
        placed_outputs[i] = memory(p->outputs[i].bytes);
#ifdef IO_ARENA
        check(c->outputs[i].arena_offset + c->outputs[i].bytes <= c->arena_bytes, "an output beyond the arena");
        placed_outputs[i] = arena + c->outputs[i].arena_offset;
#endif
    }
#ifndef IO_ARENA
    const combined_inputs *in = (const void *)placed_inputs;
    const combined_outputs *out = (const void *)placed_outputs;
    check(c->inputs[0].arena_offset == UINT64_MAX, "descriptor");
#endif
#ifdef WEIGHTS
    weights = memory(COMBINED_WEIGHTS_BYTES);
    FILE *file = fopen("weights.bin", "rb");
    check(file != NULL && fread(weights, 1, COMBINED_WEIGHTS_BYTES, file) == COMBINED_WEIGHTS_BYTES, "weights.bin");
    fclose(file);
    check(combined_check_weights(weights) == CRANELITE_OK, "check_weights");
#endif
#ifdef STATE
    check(combined_reset(state) == CRANELITE_OK && plain_reset(plain_state) == CRANELITE_OK, "reset");
#endif
    unsigned random = 1;
    for (int round = 0; round < 20; round++) {
        memset(arena, round, (size_t)c->arena_bytes);
        arena[c->arena_bytes] = 99;
        for (uint32_t i = 0; i < p->input_count; i++) {
            for (uint64_t k = 0; k < p->inputs[i].bytes; k++) {
                random = random * 1103515245u + 12345u;
                ((unsigned char *)inputs[i])[k] = (unsigned char)(random >> 16);
            }
            for (uint64_t k = 0; p->inputs[i].type == 1 && k < p->inputs[i].bytes / 4; k++) {
                ((float *)inputs[i])[k] = (float)((signed char *)inputs[i])[k] / 32.0f;
            }
            memmove(placed_inputs[i], inputs[i], (size_t)p->inputs[i].bytes);
        }
        cranelite_call all = {.struct_size = sizeof all, .inputs = inputs, .outputs = outputs, .arena = plain_arena, .state = plain_state};
        check(p->call(&all) == CRANELITE_OK, "plain");
        cranelite_call other = {.struct_size = sizeof other, .arena = arena, .state = state, .weights = weights};
#ifndef IO_ARENA
        other.inputs = placed_inputs;
        other.outputs = placed_outputs;
#endif
        cranelite_status status = CRANELITE_OK;
        switch (round % 5) {
#ifdef THREADS
        case 1: {
            const cranelite_executor executor = {backwards, NULL};
            status = combined_invoke_parallel(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT, &executor);
            break;
        }
        case 2: {
            uint32_t calls = 0;
            status = combined_profile(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT, count, &calls);
            check(0 < calls, "the hook was not called");
            break;
        }
#endif
#ifdef LEVELS
        case 3:
            /* The first that the CPU has, which may round otherwise. */
            status = CRANELITE_CPU_LACKS_FEATURE;
            for (uint32_t level = 0; status == CRANELITE_CPU_LACKS_FEATURE && level < c->level_count; level++) {
                status = combined_invoke_at(level, IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT);
            }
            break;
#endif
        case 4: status = c->call(&other); break;
        default: status = combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT);
        }
        check(status == CRANELITE_OK, "combined");
        for (uint32_t i = 0; i < p->output_count; i++) {
            if (round % 5 == 3 && p->outputs[i].type == 1) {
                continue;
            }
            check(memcmp(outputs[i], placed_outputs[i], (size_t)p->outputs[i].bytes) == 0, "another output");
        }
        check(arena[c->arena_bytes] == 99, "written beyond the arena");
    }
#ifdef STATE
    check(memcmp(state, plain_state, (size_t)p->state_bytes) == 0, "another state");
#endif
#ifdef SELF_TEST
    unsigned char *buffer = memory(COMBINED_SELFTEST_BYTES + 1);
    uint32_t wrong = 1;
    buffer[COMBINED_SELFTEST_BYTES] = 77;
    for (int times = 0; times < 2; times++) {
        memset(arena, 0x33 * times, (size_t)c->arena_bytes);
        check(combined_selftest(arena STATE_ARGUMENT WEIGHTS_ARGUMENT, buffer, &wrong) == CRANELITE_OK && wrong == UINT32_MAX, "selftest");
    }
    check(combined_selftest(arena STATE_ARGUMENT WEIGHTS_ARGUMENT, NULL, &wrong) == CRANELITE_NULL_POINTER, "selftest without buffer");
    check(arena[c->arena_bytes] == 99 && buffer[COMBINED_SELFTEST_BYTES] == 77, "selftest writes beyond its memory");
#if defined WEIGHTS && !defined STATE /* The model with a state multiplies by nothing. */
    uint32_t found = 0;
    for (uint64_t i = 64; i < COMBINED_WEIGHTS_BYTES; i += COMBINED_WEIGHTS_BYTES / 64 | 1) {
        weights[i] ^= 64;
        found += combined_selftest(arena STATE_ARGUMENT WEIGHTS_ARGUMENT, buffer, &wrong) == CRANELITE_SELFTEST_FAILED;
        weights[i] ^= 64;
    }
    check(0 < found, "the self-test sees nothing");
#endif
#endif
    unsigned char *const right = arena;
    arena = NULL;
    check(combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT) == CRANELITE_NULL_POINTER || c->arena_bytes == 0, "no arena");
    arena = right;
#ifdef STATE
    unsigned char *const kept = state;
    state = NULL;
    check(combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT) == CRANELITE_NULL_POINTER, "no state");
    state = kept + c->state_align / 2;
    check(combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT) == CRANELITE_MISALIGNED_ARENA, "state not aligned");
    state = kept;
#endif
#ifdef WEIGHTS
    weights[8] ^= 1;
    check(combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT) == CRANELITE_WRONG_WEIGHTS, "other weights");
    weights = NULL;
    check(combined_invoke(IO arena STATE_ARGUMENT WEIGHTS_ARGUMENT) == CRANELITE_NULL_POINTER, "no weights");
#endif
    return 0;
}
