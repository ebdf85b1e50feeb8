/* What runs before main on a bare 32-bit RISC-V in machine mode: stack, global pointer, floating point, zeroed .bss. */

    .section .text.start, "ax"
    .global _start
_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, stack_top
    la t0, fault
    csrw mtvec, t0
#ifdef __riscv_flen
    li t0, 0x2000                   /* mstatus.FS: floating point does not trap */
    csrs mstatus, t0
#endif
    la t0, bss_start
    la t1, bss_end
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b
2:  call main
    call leave

    .balign 4
fault:
    la a0, fault_text
    call print
    li a0, 1
    call leave

/* intptr_t semihost(intptr_t operation, const void *argument): a request to the debugger or emulator, known by the three instructions
   of 32 bits in one page. */
    .global semihost
    .balign 16
    .option norvc
semihost:
    slli x0, x0, 0x1f
    ebreak
    srai x0, x0, 7
    ret

    .section .rodata.fault, "a"
fault_text:
    .asciz "fault\n"
