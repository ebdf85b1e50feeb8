/* Runs a model on the inputs of a case, step after step, and writes its outputs and what the steps needed to files of the host.

   The instructions of a call are exact. Under -icount shift=0 an instruction takes a nanosecond of the emulator's time. RISC-V has a counter of
   them. SysTick of a Cortex-M has coarser ticks, of A/B nanoseconds (40/1 at 25 MHz, 125/4 at 32 MHz); but the sum of A reads, which are
   three instructions apart, grows by B with every instruction that they begin later, because 3 and A have no common divisor and so the
   reads meet every phase of a tick once. */
#include "board.h"
#include "bench.h"

typedef struct {
    uint32_t first, sum, wraps;
} moment;

#ifdef __riscv
/* Low and high half. */
static moment clock(void) {
    moment m = {0, 0, 0};
    uint32_t again;
    do {
        __asm__ volatile("csrr %0, minstreth\n\tcsrr %1, minstret\n\tcsrr %2, minstreth" : "=r"(m.sum), "=r"(m.first), "=r"(again));
    } while (m.sum != again);
    return m;
}

static void start_clock(void) {}
#else
#define READ "ldr r3, [%2]\n\tadds %1, r3\n\tnop\n\t"
#define FIVE READ READ READ READ READ
#if CORE_MHZ == 25
#define READS FIVE FIVE FIVE FIVE FIVE FIVE FIVE FIVE
#elif CORE_MHZ == 32
#define TWENTY_FIVE FIVE FIVE FIVE FIVE FIVE
#define READS TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE
#else
#error "no sum of reads for this clock"
#endif

static volatile uint32_t wraps;

static void tick(void) { wraps = wraps + 1; }

static __attribute__((noinline)) moment clock(void) {
    moment m = {0, 0, wraps};
    __asm__ volatile(".syntax unified\n\tldr %0, [%2]\n\tmovs %1, #0\n\t" READS : "=&l"(m.first), "=&l"(m.sum) : "l"(0xe000e018u) : "r3", "cc", "memory");
    return m;
}

/* SysTick counts 24 bits; an interrupt counts how often. Its vector is in a copy of the table, in RAM. */
static void start_clock(void) {
    static _Alignas(128) uint32_t table[16];
    extern const uint32_t vectors[16];
    for (int i = 0; i < 16; i++) {
        table[i] = vectors[i];
    }
    table[15] = (uint32_t)(uintptr_t)tick;
    *(volatile uint32_t *)0xe000ed08u = (uint32_t)(uintptr_t)table;
    *(volatile uint32_t *)0xe000e010u = 7;
}
#endif

extern uint32_t stack_bottom[];
enum { PAINT = 0x5ca1ab1e };

static uint32_t *stack_pointer(void) {
    uint32_t *sp;
#ifdef __riscv
    __asm__ volatile("mv %0, sp" : "=r"(sp));
#else
    __asm__ volatile("mov %0, sp" : "=r"(sp));
#endif
    return sp;
}

/* The stack is painted below the caller's frame; clock() itself uses a few words of it. */
typedef struct {
    moment before, after;
    uint32_t stack, status;
} step;

static __attribute__((noinline)) step measure(int32_t (*call)(void)) {
    step s;
    uint32_t *const top = stack_pointer();
    for (uint32_t *at = stack_bottom; at < top; at++) {
        *at = PAINT;
    }
    s.before = clock();
    s.status = (uint32_t)call();
    s.after = clock();
    uint32_t *deepest = stack_bottom;
    while (deepest < top && *deepest == PAINT) {
        deepest++;
    }
    s.stack = (uint32_t)((uintptr_t)top - (uintptr_t)deepest);
    return s;
}

static uint32_t open(const char *name, uint32_t length, uint32_t mode) {
    const uint32_t arguments[3] = {(uint32_t)(uintptr_t)name, mode, length};
    const intptr_t file = semihost(SYS_OPEN, arguments);
    if (file < 0) {
        print("no file\n");
        leave(1);
    }
    return (uint32_t)file;
}

static void move(intptr_t operation, uint32_t file, const void *at, uint32_t bytes) {
    const uint32_t arguments[3] = {file, (uint32_t)(uintptr_t)at, bytes};
    if (0 < bytes && semihost(operation, arguments) != 0) {
        print("a file has not so many bytes\n");
        leave(1);
    }
}

int main(void) {
    const uint32_t from = open("inputs.bin", 10, 1), to = open("outputs.bin", 11, 5), counts = open("counts.bin", 10, 5);
    start_clock();
    const step empty = measure(nothing);
    move(SYS_WRITE, counts, &empty, sizeof empty);
    if (reset_state() != 0) {
        print("the state cannot be reset\n");
        return 1;
    }
    for (uint32_t i = 0; i < step_count; i++) {
        for (uint32_t n = 0; n < input_count; n++) {
            move(SYS_READ, from, inputs[n].at, inputs[n].bytes);
        }
        const step done = measure(invoke);
        move(SYS_WRITE, counts, &done, sizeof done);
        for (uint32_t n = 0; n < output_count; n++) {
            move(SYS_WRITE, to, outputs[n].at, outputs[n].bytes);
        }
    }
    return 0;
}
