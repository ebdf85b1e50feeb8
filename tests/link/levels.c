/* Models with several feature levels, and one with a single level above the baseline, on whatever CPU this is. Prints, for each model,
   the status of its entry point and of every level, one more than there is; fails if a level that runs gives wrong numbers, or if
   one that does not touches anything. Last comes the number of the level that ran by itself in a model whose output is that number.
   data.h and models.h are written by the test. */
#include "data.h"
#include "models.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 64

static unsigned char *memory(size_t bytes)
{
    unsigned char *p = malloc(bytes + 3 * MARGIN);
    if (!p) exit(2);
    memset(p, 0x5a, bytes + 3 * MARGIN);
    return p + MARGIN + (MARGIN - (size_t)p % MARGIN) % MARGIN;
}

static int untouched(const unsigned char *p, size_t bytes)
{
    while (bytes--)
        if (*p++ != 0x5a) return 0;
    return 1;
}

/* Bytes are equal; floats are close. */
static int right(const void *found, const unsigned char *expected, const cranelite_tensor *t)
{
    size_t i;
    if (t->type != 1) return !memcmp(found, expected, t->bytes);
    for (i = 0; i < t->bytes / sizeof(float); i++) {
        float f, e, d;
        memcpy(&f, (const char *)found + i * sizeof f, sizeof f);
        memcpy(&e, expected + i * sizeof e, sizeof e);
        d = f < e ? e - f : f - e;
        if (!(d <= 1e-5f + 1e-5f * (e < 0 ? -e : e))) return 0;
    }
    return 1;
}

/* Level -1 is the entry point without a number. */
static int call(const cranelite_model *m, int level, const unsigned char *input, const unsigned char *expected)
{
    unsigned char *in = memory(m->inputs->bytes), *out = memory(m->outputs->bytes), *arena = memory(m->arena_bytes);
    void *inputs[1], *outputs[1];
    cranelite_call all;
    int status;
    inputs[0] = in;
    outputs[0] = out;
    memcpy(in, input, m->inputs->bytes);
    memset(&all, 0, sizeof all);
    all.struct_size = sizeof all;
    all.level = (uint32_t)(level + 1);
    all.inputs = inputs;
    all.outputs = outputs;
    all.arena = arena;
    status = (int)m->call(&all);
    if (status == 0 && !right(out, expected, m->outputs)) status = -1;
    if (status != 0 && !(untouched(out, m->outputs->bytes) && untouched(arena, m->arena_bytes))) status = -2;
    if (!untouched(out + m->outputs->bytes, MARGIN) || !untouched(arena + m->arena_bytes, MARGIN)) status = -3;
    return status;
}

int main(void)
{
    size_t k;
    for (k = 0; k < sizeof models / sizeof *models; k++) {
        const cranelite_model *m = models[k].model;
        int level, twice;
        if (m->struct_size < sizeof *m || m->level_count == 0) return 3;
        for (twice = 0; twice < 2; twice++) printf("%s%d", twice ? " " : "", call(m, -1, models[k].input, models[k].expected));
        for (level = 0; 1 < m->level_count && level <= (int)m->level_count; level++) {
            printf(" %s=%d", level < (int)m->level_count ? m->levels[level] : "none", call(m, level, models[k].input, models[k].expected));
        }
        printf("\n");
    }
    {
        static unsigned char x[1], y[1], arena[64];
        const void *in[1];
        void *out[1];
        cranelite_call all;
        int status;
        in[0] = x;
        out[0] = y;
        memset(&all, 0, sizeof all);
        all.struct_size = sizeof all;
        all.inputs = in;
        all.outputs = out;
        all.arena = arena;
        status = (int)which_model.call(&all);
        printf("%s %d %d\n", which_model.name, status, y[0]);
    }
    return 0;
}
