/* Runs the model of m.h on a stack of its own that is painted before, and with floating-point exceptions watched. Ends with 0 when no more stack
   was overwritten than the descriptor says and no exception was raised but those of results that are not exact. */
#define _GNU_SOURCE
#include "m.h"
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES 65536
#define PAINT 0xa5
static union {
    unsigned char bytes[STACK_BYTES];
    max_align_t align;
} stack;

/* Calls f(a, b, c) with the stack pointer at `top`. */
static long call_on(unsigned char *top, void *f, void *a, void *b, void *c)
{
#if defined(__x86_64__)
    long status;
    __asm__ volatile("mov %%rsp, %%r12\n\tmov %[top], %%rsp\n\tcall *%[f]\n\tmov %%r12, %%rsp"
                     : "=&a"(status), "+D"(a), "+S"(b), "+d"(c)
                     : [f] "r"(f), [top] "r"(top)
                     : "r12", "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return (int32_t)status;
#else
    register void *x0 __asm__("x0") = a, *x1 __asm__("x1") = b, *x2 __asm__("x2") = c;
    __asm__ volatile("mov x19, sp\n\tmov sp, %[top]\n\tblr %[f]\n\tmov sp, x19"
                     : "+r"(x0), "+r"(x1), "+r"(x2)
                     : [f] "r"(f), [top] "r"(top)
                     : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x19", "x30",
                       "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22",
                       "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
    return (int32_t)(size_t)x0;
#endif
}

static uint32_t seed = 1;

static void fill(unsigned char *p, const cranelite_tensor *t, int zeros)
{
    size_t i;
    for (i = 0; i < t->bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = zeros ? 0 : (unsigned char)(seed >> 24);
    }
    /* Floats from -2 to 2. */
    for (i = 0; t->type == 1 && !zeros && i < t->bytes / 4; i++) {
        float f = (float)p[4 * i] / 64.0f - 2.0f;
        memcpy(p + 4 * i, &f, sizeof f);
    }
}

static void *memory(size_t bytes)
{
    char *p = malloc(bytes + 65);
    if (!p) exit(2);
    return p + (64 - (size_t)p % 64) % 64;
}

int main(void)
{
    const cranelite_model *m = &m_model;
    const int watched = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW;
    void *in[16], *out[16], *arena = memory(m->arena_bytes), *invoke;
    size_t lowest, used = 0;
    uint32_t i;
    int pass;
    cranelite_call call;
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.inputs = in;
    call.outputs = out;
    call.arena = arena;
    memcpy(&invoke, &m->call, sizeof invoke);
    for (i = 0; i < m->input_count; i++) in[i] = memory(m->inputs[i].bytes);
    for (i = 0; i < m->output_count; i++) out[i] = memory(m->outputs[i].bytes);
    for (pass = 0; pass < 4; pass++) {
        for (i = 0; i < m->input_count; i++) fill(in[i], &m->inputs[i], pass == 3);
        /* What is left in the arena from before must not matter. */
        memset(arena, pass == 1 ? 0xff : 0, m->arena_bytes);
        memset(stack.bytes, PAINT, sizeof stack.bytes);
        feclearexcept(FE_ALL_EXCEPT);
#if defined(__x86_64__)
        feenableexcept(watched);
#endif
        if (call_on(stack.bytes + STACK_BYTES - 64, invoke, &call, NULL, NULL)) return 3;
#if defined(__x86_64__)
        fedisableexcept(watched);
#endif
        if (fetestexcept(watched)) {
            fprintf(stderr, "pass %d raises exceptions %x\n", pass, fetestexcept(watched));
            return 4;
        }
        for (lowest = 0; lowest < STACK_BYTES - 64 && stack.bytes[lowest] == PAINT; lowest++) {
        }
        if (used < STACK_BYTES - 64 - lowest) used = STACK_BYTES - 64 - lowest;
    }
    if (m->stack_bytes < used) {
        fprintf(stderr, "%lu bytes of stack instead of %lu\n", (unsigned long)used, (unsigned long)m->stack_bytes);
        return 5;
    }
    return 0;
}
