/* What runs before main on a bare 64-bit Arm: stack, floating point, memory map, zeroed .bss.

   With the MMU off all memory counts as device memory, in which unaligned accesses fault; the object makes some. So RAM is mapped as normal
   memory, each address to itself, by one table of blocks of 1 GiB. */

    .section .text.start, "ax"
    .global _start
_start:
    ldr x0, =stack_top
    mov sp, x0

    mov x0, #(3 << 20)              /* CPACR_EL1.FPEN: floating point and vectors do not trap */
    msr cpacr_el1, x0
    isb

    ldr x0, =0xff00                 /* attribute 0: device memory; attribute 1: normal memory, cached */
    msr mair_el1, x0
    ldr x0, =((32 << 0) | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23)) /* 4 GiB of addresses, 4 KiB pages, table cached; no TTBR1 */
    msr tcr_el1, x0
    ldr x0, =table
    msr ttbr0_el1, x0
    dsb sy
    isb
    mrs x0, sctlr_el1
    ldr x1, =((1 << 0) | (1 << 2) | (1 << 12)) /* MMU, data cache, instruction cache */
    orr x0, x0, x1
    bic x0, x0, #(1 << 1)           /* no alignment check */
    msr sctlr_el1, x0
    isb

    ldr x0, =bss_start
    ldr x1, =bss_end
1:  cmp x0, x1
    b.hs 2f
    str xzr, [x0], #8
    b 1b
2:  bl main
    bl leave
3:  wfi
    b 3b

/* intptr_t semihost(intptr_t operation, const void *argument): a request to the debugger or emulator. */
    .global semihost
semihost:
    hlt #0xf000
    ret

    .section .rodata.table, "a"
    .balign 4096
table:                              /* bits: 0 valid, 2 attribute index, 8-9 inner shareable, 10 accessed */
    .quad 0x00000000 | 0x401        /* devices */
    .quad 0x40000000 | 0x705        /* RAM */
    .quad 0, 0
