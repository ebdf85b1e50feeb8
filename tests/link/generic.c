/* A caller that knows no model: it runs every model of `models` (models.h, written by the test) on inputs from one file and writes the
   outputs to another, with nothing but what each object says of itself. */
#include "models.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *model)
{
    fprintf(stderr, "%s: %s\n", model, what);
    exit(1);
}

static void *memory(size_t bytes, size_t align)
{
    char *p = malloc(bytes + align);
    if (!p) fail("no memory", "");
    return p + (align - (size_t)p % align) % align;
}

static const cranelite_tensor *tensor(const cranelite_model *m, const cranelite_tensor *first, uint32_t i)
{
    return (const cranelite_tensor *)(const void *)((const char *)first + (size_t)i * m->tensor_size);
}

static void **buffers(const cranelite_model *m, const cranelite_tensor *first, uint32_t count)
{
    void **all = memory((count + 1) * sizeof *all, sizeof *all);
    uint32_t i;
    for (i = 0; i < count; i++) all[i] = memory(tensor(m, first, i)->bytes + 1, 16);
    return all;
}

int main(int argc, char **argv)
{
    FILE *in = argc < 3 ? NULL : fopen(argv[1], "rb"), *out = argc < 3 ? NULL : fopen(argv[2], "wb");
    size_t k;
    if (!in || !out) fail("usage: generic IN OUT", argv[0]);
    for (k = 0; k < sizeof models / sizeof *models; k++) {
        const cranelite_model *m = models[k].model;
        void **inputs = buffers(m, m->inputs, m->input_count), **outputs = buffers(m, m->outputs, m->output_count);
        void *arena = memory(m->arena_bytes + 1, m->arena_align), *state = memory(m->state_bytes + 1, m->state_align);
        cranelite_call call;
        int step;
        uint32_t i;
        if (m->abi_version != 1 || m->struct_size < sizeof *m) fail("another version", m->name);
        memset(&call, 0, sizeof call);
        call.struct_size = sizeof call;
        call.inputs = inputs;
        call.outputs = outputs;
        call.arena = arena;
        call.state = state;
        if (m->reset && m->reset(state)) fail("no state", m->name);
        for (step = 0; step < models[k].steps; step++) {
            for (i = 0; i < m->input_count; i++) {
                size_t bytes = tensor(m, m->inputs, i)->bytes;
                if (fread(inputs[i], 1, bytes, in) != bytes) fail("inputs end early", m->name);
            }
            if (m->call(&call)) fail("does not run", m->name);
            for (i = 0; i < m->output_count; i++) fwrite(outputs[i], 1, tensor(m, m->outputs, i)->bytes, out);
        }
    }
    if (fgetc(in) != EOF) fail("inputs are left over", argv[0]);
    return fclose(out) != 0;
}
