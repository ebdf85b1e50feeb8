/* Two functions of custom operators: one that adds and scales, one that fails when told to. */
#include "mine.h"
#include "cranelite_arena.h"
#include <stdio.h>
#include <string.h>

static int calls;

/* y = (a + b) * options[0], and the sum's sign in z. */
int32_t my_sum(const cranelite_custom_call *call)
{
    const float *a = (const float *)call->inputs[0].data, *b = (const float *)call->inputs[1].data;
    float *y = (float *)call->outputs[0].data;
    int8_t *z = (int8_t *)call->outputs[1].data;
    const unsigned char *options = (const unsigned char *)call->options;
    size_t i;
    calls++;
    if (call->struct_size != sizeof(*call) || call->input_count != 2 || call->output_count != 2) return 1;
    if (call->options_bytes != 2 || options[1] != 7) return 2;
    if (call->inputs[0].bytes != 20 || call->inputs[1].bytes != 20) return 3;
    if (call->outputs[0].bytes != 20 || call->outputs[1].bytes != 5) return 4;
    for (i = 0; i < 5; i++) {
        y[i] = (a[i] + b[i]) * (float)options[0];
        z[i] = (int8_t)(y[i] < 0 ? -1 : 1);
    }
    return 0;
}

int32_t my_check(const cranelite_custom_call *call)
{
    calls++;
    if (call->options || call->options_bytes || call->input_count != 1 || call->output_count != 1) return 1;
    memcpy(call->outputs[0].data, call->inputs[0].data, call->inputs[0].bytes);
    /* More than any status has bits. */
    return ((const float *)call->inputs[0].data)[0] > 100 ? 0x12345600 : 0;
}

#ifndef LIBRARY
int main(void)
{
    float x[5] = { -1, 0, 1, 2, 3 }, y[5];
    int8_t z[5];
    int i, status;
    static char memory[MINE_ARENA_BYTES + MINE_ARENA_ALIGN];
    void *arena = memory + (MINE_ARENA_ALIGN - (size_t)memory % MINE_ARENA_ALIGN) % MINE_ARENA_ALIGN;
    mine_inputs in = { 0 };
    mine_outputs out = { 0 };
    in.x = x;
    out.y = y;
    out.z = z;
    status = (int)mine_invoke(&in, &out, arena);
    if (status) return printf("status %d\n", status), 1;
    /* The constant is 0.5, 1.5, ...; what is negative becomes 0 behind the function, and before the other one. */
    for (i = 0; i < 5; i++) {
        float sum = (x[i] + (float)i + 0.5f) * 3;
        if (y[i] != (sum < 0 ? 0 : sum) || z[i] != (sum < 0 ? -1 : 1)) return printf("%d: %g %d\n", i, (double)y[i], z[i]), 2;
    }
    if (calls != 2) return printf("%d calls\n", calls), 3;
    x[0] = 1000;
    status = (int)mine_invoke(&in, &out, arena);
    if (status != CRANELITE_CUSTOM_FAILED || calls != 4) return printf("status %d after %d calls\n", status, calls), 4;
    return 0;
}
#endif
