/* `model`, and the same model with inputs and outputs in the arena, `placed`: equal outputs, and nothing is written beyond the arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "placed.h"

static void check(int condition, const char *what) {
    if (!condition) {
        printf("%s\n", what);
        exit(1);
    }
}

static void *memory(uint64_t bytes) {
    void *p = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
    check(p != NULL, "no memory");
    return p;
}

static void count(void *user, uint32_t op, uint32_t call) {
    (void)op;
    *(uint32_t *)user = call;
}

int main(void) {
    const cranelite_model *const m = &model_model, *const p = &placed_model;
    check(p->offers == 3 && m->inputs[0].arena_offset == UINT64_MAX, "descriptor");
    check(p->inputs[0].arena_offset == FIRST_INPUT && p->outputs[0].arena_offset == FIRST_OUTPUT, "offsets");
    uint64_t sum = m->arena_bytes;
    void *inputs[8], *outputs[8];
    for (uint32_t i = 0; i < m->input_count; i++) {
        inputs[i] = memory(m->inputs[i].bytes);
        sum += (m->inputs[i].bytes + 127) / 64 * 64;
    }
    for (uint32_t i = 0; i < m->output_count; i++) {
        outputs[i] = memory(m->outputs[i].bytes);
        sum += (m->outputs[i].bytes + 127) / 64 * 64;
    }
    check(p->arena_bytes <= sum, "the arena is larger than all together");
    void *arena = memory(m->arena_bytes);
    unsigned char *placed = memory(p->arena_bytes);
    unsigned random = 1;
    for (int round = 0; round < 20; round++) {
        memset(placed, round, (size_t)p->arena_bytes);
        placed[p->arena_bytes] = 99;
        for (uint32_t i = 0; i < m->input_count; i++) {
            for (uint64_t k = 0; k < m->inputs[i].bytes; k++) {
                random = random * 1103515245u + 12345u;
                ((unsigned char *)inputs[i])[k] = (unsigned char)(random >> 16);
            }
            for (uint64_t k = 0; m->inputs[i].type == 1 && k < m->inputs[i].bytes / 4; k++) {
                ((float *)inputs[i])[k] = (float)((signed char *)inputs[i])[k] / 32.0f;
            }
            memcpy(placed + p->inputs[i].arena_offset, inputs[i], (size_t)m->inputs[i].bytes);
        }
        cranelite_call all = {.struct_size = sizeof all, .inputs = inputs, .outputs = outputs, .arena = arena};
        check(m->call(&all) == CRANELITE_OK, "model");
        uint32_t calls = 0;
        cranelite_call in_arena = {.struct_size = sizeof in_arena, .arena = placed, .hook = round % 5 == 4 ? count : NULL, .user = &calls};
        cranelite_status status = round % 5 == 0   ? placed_invoke(placed)
                                  : round % 5 == 1 ? placed_invoke_parallel(placed, NULL)
                                  : round % 5 == 2 ? placed_profile(placed, count, &calls)
                                                   : p->call(&in_arena);
        check(status == CRANELITE_OK && (round % 5 == 2 || round % 5 == 4) == (0 < calls), "placed");
        for (uint32_t i = 0; i < m->output_count; i++) {
            check(memcmp(outputs[i], placed + p->outputs[i].arena_offset, (size_t)m->outputs[i].bytes) == 0, "another output");
        }
        check(placed[p->arena_bytes] == 99, "written beyond the arena");
    }
    check(placed_invoke(NULL) == CRANELITE_NULL_POINTER, "no arena");
    check(placed_invoke(placed + 4) == CRANELITE_MISALIGNED_ARENA, "arena not aligned");
    printf("%lu %lu\n", (unsigned long)m->arena_bytes, (unsigned long)p->arena_bytes);
    return 0;
}
