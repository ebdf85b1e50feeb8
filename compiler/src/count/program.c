/* Calls a model so many times, for plugin.c to count: program CALLS HOOKED INPUT...

   With HOOKED 1 the hook of every call passes a mark: number 0 for what belongs to no operator, 1 + i for operator i of the model. MODEL is the model's
   descriptor, MARKS how many marks there are. Ends with 10 + the status of a call that fails. */
#include "model.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(word) #word
#define TEXT(word) TEXT_OF(word)

/* A mark is a place where an indirect call may land, and a return. */
__asm__(".text\n.balign 8\n.globl count_marks\ncount_marks:\n.rept " TEXT(MARKS) "\nhint #34\nret\n.endr\n");
extern char count_marks[];

static void hook(void *user, uint32_t op, uint32_t call)
{
    (void)user, (void)call;
    ((void (*)(void))(uintptr_t)(count_marks + 8 * (uintptr_t)(op == UINT32_MAX ? 0 : op + 1)))();
}

static void *memory(uint64_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 4096, bytes ? bytes : 1)) exit(3);
    return p;
}

int main(int count, char **words)
{
    const cranelite_model *m = &MODEL;
    void **inputs = memory(m->input_count * sizeof *inputs), **outputs = memory(m->output_count * sizeof *outputs);
    cranelite_call call = {0};
    uint32_t i;
    int calls = count < 2 ? 0 : atoi(words[1]);
    if (calls == 0) return 0;
    if (count != 3 + (int)m->input_count) return 2;
    for (i = 0; i < m->input_count; i++) {
        FILE *file = fopen(words[3 + i], "rb");
        inputs[i] = memory(m->inputs[i].bytes);
        if (!file || fread(inputs[i], 1, m->inputs[i].bytes, file) != m->inputs[i].bytes) return 4;
        fclose(file);
    }
    for (i = 0; i < m->output_count; i++) outputs[i] = memory(m->outputs[i].bytes);
    call.struct_size = sizeof call;
    call.inputs = inputs;
    call.outputs = outputs;
    call.arena = memory(m->arena_bytes);
    call.state = memory(m->state_bytes);
    void *weights = memory(m->weights_bytes);
    call.weights = weights;
    call.hook = atoi(words[2]) ? hook : NULL;
    if (m->reset && m->reset(call.state) != CRANELITE_OK) return 5;
    if (m->prepare && m->prepare(weights) != CRANELITE_OK) return 6;
    for (; calls > 0; calls--) {
        int status = (int)m->call(&call);
        if (status) return 10 + status;
    }
    return 0;
}
