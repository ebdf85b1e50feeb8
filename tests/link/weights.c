/* `model`, and the same model with its constants in the file weights.bin, or decoded once, `outside`: equal outputs; other weights are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "outside.h"

static void check(int condition, const char *what) {
    if (!condition) {
        printf("%s\n", what);
        exit(1);
    }
}

static unsigned char *memory(uint64_t bytes) {
    unsigned char *p = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
    check(p != NULL, "no memory");
    return p;
}

static void ignore(void *user, uint32_t op, uint32_t call) {
    (void)user;
    (void)op;
    (void)call;
}

int main(void) {
    const cranelite_model *const m = &model_model, *const o = &outside_model;
    check(o->check_weights == outside_check_weights, "descriptor");
    check(m->check_weights == NULL && m->weights_bytes == 0, "descriptor");
    check(o->weights_bytes == OUTSIDE_WEIGHTS_BYTES, "descriptor");
    unsigned char *weights = memory(OUTSIDE_WEIGHTS_BYTES);
#ifdef OUTSIDE_PREPARED
    memset(weights, 0x5a, OUTSIDE_WEIGHTS_BYTES);
    check(outside_check_weights(weights) == CRANELITE_WRONG_WEIGHTS, "not prepared yet");
    check(outside_prepare(NULL) == CRANELITE_NULL_POINTER && outside_prepare(weights + 8) == CRANELITE_MISALIGNED_ARENA, "prepare");
    check(o->prepare == outside_prepare && m->prepare == NULL, "descriptor");
    check(outside_prepare(weights) == CRANELITE_OK, "prepare");
#else
    check(o->prepare == NULL, "descriptor");
    FILE *file = fopen("weights.bin", "rb");
    check(file != NULL && fread(weights, 1, OUTSIDE_WEIGHTS_BYTES, file) == OUTSIDE_WEIGHTS_BYTES && fgetc(file) == EOF, "weights.bin");
    fclose(file);
#endif
    check(outside_check_weights(weights) == CRANELITE_OK, "check_weights");

    void *inputs[8], *outputs[8], *others[8];
    for (uint32_t i = 0; i < m->input_count; i++) {
        inputs[i] = memory(m->inputs[i].bytes);
    }
    for (uint32_t i = 0; i < m->output_count; i++) {
        outputs[i] = memory(m->outputs[i].bytes);
        others[i] = memory(m->outputs[i].bytes);
    }
    const outside_inputs *in = (const void *)inputs;
    const outside_outputs *out = (const void *)others;
    void *arena = memory(m->arena_bytes);
    unsigned random = 1;
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < m->input_count; i++) {
            for (uint64_t k = 0; k < m->inputs[i].bytes; k++) {
                random = random * 1103515245u + 12345u;
                ((unsigned char *)inputs[i])[k] = (unsigned char)(random >> 16);
            }
            for (uint64_t k = 0; m->inputs[i].type == 1 && k < m->inputs[i].bytes / 4; k++) {
                ((float *)inputs[i])[k] = (float)((signed char *)inputs[i])[k] / 32.0f;
            }
        }
        cranelite_call all = {.struct_size = sizeof all, .inputs = inputs, .outputs = outputs, .arena = arena};
        check(m->call(&all) == CRANELITE_OK, "model");
        cranelite_status status = round % 3 == 0   ? outside_invoke(in, out, arena, weights)
                                  : round % 3 == 1 ? outside_invoke_parallel(in, out, arena, weights, NULL)
                                                   : outside_profile(in, out, arena, weights, ignore, NULL);
        check(status == CRANELITE_OK, "outside");
        all.outputs = others;
        check(o->call(&all) == CRANELITE_NULL_POINTER, "outside, as data, without weights");
        all.weights = weights;
        check(round % 5 != 0 || o->call(&all) == CRANELITE_OK, "outside, as data");
        for (uint32_t i = 0; i < m->output_count; i++) {
            check(memcmp(outputs[i], others[i], (size_t)m->outputs[i].bytes) == 0, "another output");
        }
#ifdef OUTSIDE_LEVELS
        for (uint32_t level = 0; level < o->level_count; level++) {
            status = outside_invoke_at(level, in, out, arena, weights);
            check(status == CRANELITE_OK || status == CRANELITE_CPU_LACKS_FEATURE, "level");
        }
#endif
    }

    check(outside_invoke(in, out, arena, NULL) == CRANELITE_NULL_POINTER && outside_check_weights(NULL) == CRANELITE_NULL_POINTER, "no weights");
    check(outside_invoke(in, out, arena, weights + 8) == CRANELITE_MISALIGNED_ARENA, "weights not aligned");
    check(outside_check_weights(weights + 8) == CRANELITE_MISALIGNED_ARENA, "weights not aligned");
    for (int i = 0; i < 24; i++) {
        weights[i] ^= 1;
        memset(others[0], 77, (size_t)m->outputs[0].bytes);
        check(outside_invoke(in, out, arena, weights) == CRANELITE_WRONG_WEIGHTS, "a wrong header");
        check(outside_invoke_parallel(in, out, arena, weights, NULL) == CRANELITE_WRONG_WEIGHTS, "a wrong header");
        check(outside_check_weights(weights) == CRANELITE_WRONG_WEIGHTS, "a wrong header");
        check(*(unsigned char *)others[0] == 77, "an output of a refused call");
        weights[i] ^= 1;
    }
    for (uint64_t i = 64; i < OUTSIDE_WEIGHTS_BYTES; i++) {
        weights[i] ^= 16;
        check(outside_check_weights(weights) == CRANELITE_WRONG_WEIGHTS, "a wrong byte");
        weights[i] ^= 16;
    }
    check(outside_check_weights(weights) == CRANELITE_OK, "check_weights afterwards");

    void *buffer = memory(OUTSIDE_SELFTEST_BYTES);
    uint32_t wrong = 0, found = 0;
    check(o->selftest == NULL && outside_selftest(arena, weights, buffer, &wrong) == CRANELITE_OK && wrong == UINT32_MAX, "selftest");
    check(outside_selftest(arena, NULL, buffer, &wrong) == CRANELITE_NULL_POINTER, "selftest without weights");
    weights[8] ^= 1;
    check(outside_selftest(arena, weights, buffer, &wrong) == CRANELITE_WRONG_WEIGHTS, "selftest with other weights");
    weights[8] ^= 1;
    for (uint64_t i = 64; i < OUTSIDE_WEIGHTS_BYTES; i += OUTSIDE_WEIGHTS_BYTES / 64 | 1) {
        weights[i] ^= 64;
        found += outside_selftest(arena, weights, buffer, &wrong) == CRANELITE_SELFTEST_FAILED;
        weights[i] ^= 64;
    }
    check(0 < found, "the self-test sees nothing");
    return 0;
}
