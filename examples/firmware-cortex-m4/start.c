/* What runs before main on a Cortex-M: vectors, floating point, variables. And its clock. */
#include "board.h"

/* The processor's own registers. */
#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define SYST_CSR (*(volatile uint32_t *)0xe000e010u)
#define SYST_RVR (*(volatile uint32_t *)0xe000e014u)
#define SYST_CVR (*(volatile uint32_t *)0xe000e018u)

#ifndef CORE_MHZ
#define CORE_MHZ 25
#endif

/* The linker script's. */
extern uint32_t data_start[], data_end[], bss_start[], bss_end[], stack_top[];
extern const uint32_t data_load[];

int main(void);

static void fault(void) {
    print("fault\n");
    leave(1);
}

void reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xfu << 20; /* floating point and vectors do not trap */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5; /* counts the cycles of the core, without interrupt */
    leave(main());
}

const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors __attribute__((section(".vectors"), used)) = {
    stack_top,
    {reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault},
};

__attribute__((noinline, naked)) intptr_t semihost(intptr_t operation, const void *argument) {
    (void)operation;
    (void)argument;
    __asm__("bkpt 0xab\n\tbx lr");
}

uint32_t now(void) { return SYST_CVR; }

/* With -icount shift=0 the emulator's clock advances by one nanosecond per instruction, so that a cycle of 25 MHz is 40 instructions. */
uint32_t instructions_since(uint32_t moment) { return (uint32_t)((uint64_t)((moment - SYST_CVR) & 0xffffffu) * 1000 / CORE_MHZ); }
