/* A model as a program and as a library: calls it so many times, and says how long that took. The model is m_model of m.h.

   As a library (-DLIBRARY) it is loaded by run.py, which fills the inputs and reads the outputs where shown_input and shown_output say.
   As a program: program CALLS INPUT... > OUTPUTS. */
#include "m.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LARGEST 64
static void *inputs[LARGEST], *outputs[LARGEST], *arena, *state, *weights;

static void *memory(uint64_t bytes)
{
    void *p = NULL;
    return posix_memalign(&p, 64, bytes ? bytes : 1) ? NULL : p;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds that it takes to decode all constants that are decoded once (-DPREPARE: the model has such); negative when that failed. */
double shown_prepare(void)
{
#ifdef PREPARE
    double start = seconds();
    return m_prepare(weights) == CRANELITE_OK ? seconds() - start : -1;
#else
    return 0;
#endif
}

/* 0 when all is ready. */
int shown_open(void)
{
    uint32_t i;
    if (m_model.input_count > LARGEST || m_model.output_count > LARGEST) return -1;
    for (i = 0; i < m_model.input_count; i++)
        if (!(inputs[i] = memory(m_model.inputs[i].bytes))) return -1;
    for (i = 0; i < m_model.output_count; i++)
        if (!(outputs[i] = memory(m_model.outputs[i].bytes))) return -1;
    if (!(arena = memory(m_model.arena_bytes)) || !(state = memory(m_model.state_bytes))) return -1;
    if (!(weights = memory(m_model.weights_bytes)) || shown_prepare() < 0) return -1;
    return m_model.reset ? (int)m_model.reset(state) : 0;
}

void *shown_input(uint32_t i) { return inputs[i]; }
void *shown_output(uint32_t i) { return outputs[i]; }
uint64_t shown_weights_bytes(void) { return m_model.weights_bytes; }
uint64_t shown_input_bytes(uint32_t i) { return m_model.inputs[i].bytes; }
uint64_t shown_output_bytes(uint32_t i) { return m_model.outputs[i].bytes; }

/* Seconds that all calls took together; negative when one failed. */
double shown_calls(uint32_t calls)
{
    cranelite_call call = {0};
    double start;
    call.struct_size = sizeof call;
    call.inputs = inputs;
    call.outputs = outputs;
    call.arena = arena;
    call.state = state;
    call.weights = weights;
    start = seconds();
    while (calls--)
        if (m_model.call(&call) != CRANELITE_OK) return -1;
    return seconds() - start;
}

#ifndef LIBRARY
int main(int count, char **words)
{
    uint32_t i;
    if (shown_open() != 0 || count != (int)m_model.input_count + 2) return 2;
    for (i = 0; i < m_model.input_count; i++) {
        FILE *file = fopen(words[2 + i], "rb");
        if (!file || fread(inputs[i], 1, m_model.inputs[i].bytes, file) != m_model.inputs[i].bytes) return 3;
        fclose(file);
    }
    if (shown_calls((uint32_t)atoi(words[1])) < 0) return 4;
    for (i = 0; i < m_model.output_count; i++)
        if (fwrite(outputs[i], 1, m_model.outputs[i].bytes, stdout) != m_model.outputs[i].bytes) return 5;
    return 0;
}
#endif
