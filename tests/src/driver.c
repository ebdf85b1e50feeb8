/* Runs a compiled model under an emulator, without a C library.

   Standard input: for each buffer (inputs, then outputs) its alignment as four bytes, and what an output holds at first; then the number
   of calls, and for each the contents of the inputs; once with the buffers at the start of their pages and once at the end. Standard output:
   after each call its status as four bytes, and what the outputs hold. Every buffer stands between pages that
   nobody may touch. */

#include <stddef.h>
#include <stdint.h>

typedef int32_t cranelite_status;
#include "model.h"

extern const cranelite_model test_model;

static long system_call(long number, long a, long b, long c, long d) {
#if defined(__aarch64__)
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = -1, x5 __asm__("x5") = 0, x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
    return x0;
#else
    register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = -1, a5 __asm__("a5") = 0, a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
#endif
}

enum { READ = 63, WRITE = 64, EXIT = 93, MMAP = 222, MPROTECT = 226, PAGE = 4096 };

static void leave(int status) {
    for (;;) system_call(EXIT, status, 0, 0, 0);
}

static void read_all(void *to, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        long n = system_call(READ, 0, (long)((char *)to + done), (long)(bytes - done), 0);
        if (n <= 0) leave(101);
        done += (uint64_t)n;
    }
}

static void write_all(const void *from, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        long n = system_call(WRITE, 1, (long)((const char *)from + done), (long)(bytes - done), 0);
        if (n <= 0) leave(102);
        done += (uint64_t)n;
    }
}

static char *guarded(uint64_t bytes, uint64_t align, int at_end) {
    uint64_t inner = (bytes + PAGE - 1) / PAGE * PAGE;
    if (inner == 0) inner = PAGE;
    char *p = (char *)system_call(MMAP, 0, (long)(inner + 2 * PAGE), 0, 0x22);
    if ((long)p < 0 && (long)p > -4096) leave(103);
    if (system_call(MPROTECT, (long)(p + PAGE), (long)inner, 3, 0) != 0) leave(104);
    return p + PAGE + (at_end ? (inner - bytes) / align * align : 0);
}

static void *inputs[65536], *outputs[65536];

void start(void) {
    const cranelite_model *m = &test_model;
    for (int at_end = 0; at_end < 2; at_end++) {
        for (uint32_t i = 0; i < m->input_count + m->output_count; i++) {
            int is_input = i < m->input_count;
            const cranelite_tensor *t = is_input ? &m->inputs[i] : &m->outputs[i - m->input_count];
            uint32_t align;
            read_all(&align, sizeof align);
            void *p = guarded(t->bytes, align, at_end);
            if (!is_input) read_all(p, t->bytes);
            if (is_input) inputs[i] = p; else outputs[i - m->input_count] = p;
        }
        char *arena = guarded(m->arena_bytes, m->arena_align < 16 ? 16 : m->arena_align, at_end);
        char *state = guarded(m->state_bytes, m->state_align < 16 ? 16 : m->state_align, at_end);
        cranelite_call call = {.struct_size = sizeof call, .inputs = inputs, .outputs = outputs, .arena = arena, .state = state};
        int status = m->reset ? m->reset(state) : 0;
        if (status != 0) leave(status);
        uint32_t steps;
        read_all(&steps, sizeof steps);
        for (uint32_t step = 0; step < steps; step++) {
            for (uint32_t i = 0; i < m->input_count; i++) read_all(inputs[i], m->inputs[i].bytes);
            status = m->call(&call);
            write_all(&status, sizeof status);
            for (uint32_t i = 0; i < m->output_count; i++) write_all(outputs[i], m->outputs[i].bytes);
        }
    }
    leave(0);
}

#if defined(__aarch64__)
__asm__(".globl _start\n_start: bl start\n");
#else
__asm__(".globl _start\n_start: andi sp, sp, -16\n call start\n");
#endif
