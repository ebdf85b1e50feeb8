/* Two instances of one model, whose states are in memory of the caller's: one runs all steps, the other the same ones some steps later, in turn; each gives
   the outputs that a single instance gives. Then one of them starts afresh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kws.h"

enum { STEPS = 1000, LATER = 7, AGAIN = 20 };

static unsigned char *memory(size_t bytes, size_t align)
{
    unsigned char *p = malloc(bytes + align);
    if (p == NULL) exit(2);
    memset(p, 0x5a, bytes + align);
    return p + (align - (size_t)p % align) % align;
}

static unsigned char *in, *expected, *out, *arena;

static void step(void *state, int number, const char *whose)
{
    const cranelite_model *m = &kws_model;
    void *inputs[1], *outputs[1];
    cranelite_call call;
    inputs[0] = in + (size_t)number * m->inputs[0].bytes;
    outputs[0] = out;
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.inputs = inputs;
    call.outputs = outputs;
    call.arena = arena;
    call.state = state;
    memset(arena, number, m->arena_bytes);
    if (m->call(&call) != CRANELITE_OK || memcmp(out, expected + (size_t)number * m->outputs[0].bytes, m->outputs[0].bytes) != 0) {
        printf("step %d of the %s instance\n", number, whose);
        exit(1);
    }
}

int main(void)
{
    const cranelite_model *m = &kws_model;
    unsigned char *a = memory(m->state_bytes, m->state_align), *b = memory(m->state_bytes, m->state_align);
    size_t in_bytes = STEPS * (size_t)m->inputs[0].bytes, out_bytes = STEPS * (size_t)m->outputs[0].bytes;
    FILE *file = fopen("steps.bin", "rb");
    int i;
    arena = memory(m->arena_bytes, m->arena_align);
    out = memory(m->outputs[0].bytes, 16);
    in = memory(in_bytes, 16);
    expected = memory(out_bytes, 16);
    if (file == NULL || m->state_bytes == 0 || m->state_bytes != KWS_STATE_BYTES || m->input_count != 1 || m->output_count != 1) return 2;
    if (fread(in, 1, in_bytes, file) != in_bytes || fread(expected, 1, out_bytes, file) != out_bytes) return 2;
    if (kws_reset(a) != CRANELITE_OK || kws_reset(b) != CRANELITE_OK) return 2;
    for (i = 0; i < STEPS + LATER; i++) {
        if (i < STEPS) step(a, i, "first");
        if (LATER <= i) step(b, i - LATER, "second");
    }
    if (kws_reset(a) != CRANELITE_OK) return 2;
    for (i = 0; i < AGAIN; i++) step(a, i, "new");
    return 0;
}
