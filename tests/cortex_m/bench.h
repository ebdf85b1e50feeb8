/* What measure.py writes of a model, for bench.c. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

typedef struct {
    void *at;
    uint32_t bytes;
} buffer;

extern const uint32_t step_count, input_count, output_count;
extern const buffer inputs[], outputs[];

/* The model's functions. `nothing` does what `invoke` does to call the model, and calls a function that returns at once. */
int32_t reset_state(void);
int32_t invoke(void);
int32_t nothing(void);

#endif
