/* Calls functions of kernels under an emulator, each for itself, without a C library.

   Standard input, numbers of eight bytes: the bytes of code, the code; then for each case 1, the number of memories, for each its size, its
   alignment and what it holds at first, the number of calls, and for each where in the code its function is, the number of arguments,
   and for each the number of its memory, or -1, and an offset or the argument itself; 0 at the end. Every case runs twice: its memories stand
   between pages that nobody may touch, against the one before, then against the one behind. Standard output: after each run what its functions
   did wrong, as bits, and what the memories hold.

   Bits: 0 to 9: x19 to x28 were not kept; 10 to 17: d8 to d15; 18: the stack pointer; 19: x18 or x29; 20: the arguments on the stack. */

#include <stdint.h>

static long system_call(long number, long a, long b, long c, long d) {
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = -1, x5 __asm__("x5") = 0, x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8) : "memory");
    return x0;
}

enum { READ = 63, WRITE = 64, EXIT = 93, MUNMAP = 215, MMAP = 222, MPROTECT = 226, PAGE = 4096 };

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

static int64_t number(void) {
    int64_t n;
    read_all(&n, sizeof n);
    return n;
}

static void write_all(const void *from, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        long n = system_call(WRITE, 1, (long)((const char *)from + done), (long)(bytes - done), 0);
        if (n <= 0) leave(102);
        done += (uint64_t)n;
    }
}

static char *mapped(uint64_t bytes) {
    char *p = (char *)system_call(MMAP, 0, (long)bytes, 0, 0x22);
    if ((long)p < 0 && (long)p > -4096) leave(103);
    return p;
}

static void allow(void *p, uint64_t bytes, int what) {
    if (system_call(MPROTECT, (long)p, (long)bytes, what, 0) != 0) leave(104);
}

/* Calls a function with all registers that are to be kept full of numbers: what it did wrong. */
uint64_t called(const void *function, const int64_t *arguments, uint64_t count);
__asm__(
    ".text\n.globl called\ncalled:\n"
    "stp x29, x30, [sp, #-240]!\n"
    "stp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\nstp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "adrp x9, around\nadd x9, x9, :lo12:around\nmov x10, sp\nstr x10, [x9]\n"
    /* Arguments from the eighth on go to the stack, whose pointer stays a multiple of 16. */
    "mov x16, x0\nmov x15, x1\nmov x14, x2\n"
    "mov x13, #0\ncmp x14, #8\nb.ls 1f\nsub x13, x14, #8\n1:\n"
    "add x12, x13, #1\nand x12, x12, #-2\nsub sp, sp, x12, lsl #3\n"
    "mov x11, #0\n2: cmp x11, x13\nb.hs 3f\nadd x10, x15, x11, lsl #3\nldr x10, [x10, #64]\nstr x10, [sp, x11, lsl #3]\nadd x11, x11, #1\nb 2b\n3:\n"
    "mov x10, sp\nstr x10, [x9, #8]\nstr x15, [x9, #16]\nstr x13, [x9, #24]\n"
    "ldp x0, x1, [x15]\nldp x2, x3, [x15, #16]\nldp x4, x5, [x15, #32]\nldp x6, x7, [x15, #48]\n"
#define EACH(M) M(19) M(20) M(21) M(22) M(23) M(24) M(25) M(26) M(27) M(28)
#define SET(n) "mov x" #n ", #0x5a" #n "\n"
    EACH(SET)
    "mov x18, #0x5a18\nmov x29, #0x5a29\n"
    "fmov d8, x20\nfmov d9, x21\nfmov d10, x22\nfmov d11, x23\nfmov d12, x24\nfmov d13, x25\nfmov d14, x26\nfmov d15, x27\n"
    "blr x16\n"
    "mov x0, #0\nadrp x9, around\nadd x9, x9, :lo12:around\n"
#define KEPT(n) "mov x10, #0x5a" #n "\ncmp x10, x" #n "\ncset x11, ne\nlsl x11, x11, #" #n "-19\norr x0, x0, x11\n"
    EACH(KEPT)
#define KEPT_D(d, x) "mov x10, #0x5a" #x "\nfmov x11, d" #d "\ncmp x10, x11\ncset x11, ne\nlsl x11, x11, #" #d "+2\norr x0, x0, x11\n"
    KEPT_D(8, 20) KEPT_D(9, 21) KEPT_D(10, 22) KEPT_D(11, 23) KEPT_D(12, 24) KEPT_D(13, 25) KEPT_D(14, 26) KEPT_D(15, 27)
    "ldr x10, [x9, #8]\nmov x11, sp\ncmp x10, x11\ncset x11, ne\norr x0, x0, x11, lsl #18\nmov sp, x10\n"
    "mov x10, #0x5a18\ncmp x10, x18\ncset x11, ne\norr x0, x0, x11, lsl #19\n"
    "mov x10, #0x5a29\ncmp x10, x29\ncset x11, ne\norr x0, x0, x11, lsl #19\n"
    "ldr x15, [x9, #16]\nldr x13, [x9, #24]\n"
    "mov x11, #0\n4: cmp x11, x13\nb.hs 5f\nadd x10, x15, x11, lsl #3\nldr x10, [x10, #64]\nldr x12, [sp, x11, lsl #3]\nadd x11, x11, #1\n"
    "cmp x10, x12\nb.eq 4b\norr x0, x0, #1 << 20\n5:\n"
    "ldr x10, [x9]\nmov sp, x10\n"
    "ldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\nldp x25, x26, [sp, #64]\nldp x27, x28, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "ldp x29, x30, [sp], #240\nret\n"
    ".bss\n.balign 16\naround: .zero 32\n.text\n");

enum { MOST = 64 };

struct memory {
    uint64_t bytes, align, inner;
    char *contents, *mapping, *start;
};

void start(void) {
    uint64_t code_bytes = (uint64_t)number();
    uint64_t code_pages = (code_bytes + PAGE) / PAGE * PAGE;
    char *code = mapped(code_pages);
    allow(code, code_pages, 3);
    read_all(code, code_bytes);
    allow(code, code_pages, 5);
    while (number() == 1) {
        static struct memory memories[MOST];
        uint64_t memory_count = (uint64_t)number();
        if (memory_count > MOST) leave(105);
        for (uint64_t i = 0; i < memory_count; i++) {
            struct memory *m = &memories[i];
            m->bytes = (uint64_t)number();
            m->align = (uint64_t)number();
            m->inner = (m->bytes + PAGE - 1) / PAGE * PAGE;
            if (m->inner == 0) m->inner = PAGE;
            m->contents = mapped(m->inner);
            allow(m->contents, m->inner, 3);
            read_all(m->contents, m->bytes);
            m->mapping = mapped(m->inner + 2 * PAGE);
            allow(m->mapping + PAGE, m->inner, 3);
        }
        uint64_t call_count = (uint64_t)number();
        static struct { int64_t at, count; int64_t arguments[MOST][2]; } calls[MOST];
        if (call_count > MOST) leave(106);
        for (uint64_t c = 0; c < call_count; c++) {
            calls[c].at = number();
            calls[c].count = number();
            if (calls[c].count > MOST) leave(107);
            read_all(calls[c].arguments, 16 * (uint64_t)calls[c].count);
        }
        for (int at_end = 0; at_end < 2; at_end++) {
            for (uint64_t i = 0; i < memory_count; i++) {
                struct memory *m = &memories[i];
                m->start = m->mapping + PAGE + (at_end ? (m->inner - m->bytes) / m->align * m->align : 0);
                for (uint64_t b = 0; b < m->bytes; b++) m->start[b] = m->contents[b];
            }
            uint64_t wrong = 0;
            for (uint64_t c = 0; c < call_count; c++) {
                int64_t arguments[MOST];
                for (int64_t a = 0; a < calls[c].count; a++) {
                    int64_t memory = calls[c].arguments[a][0], value = calls[c].arguments[a][1];
                    arguments[a] = memory < 0 ? value : (int64_t)(memories[memory].start + value);
                }
                wrong |= called(code + calls[c].at, arguments, (uint64_t)calls[c].count);
            }
            write_all(&wrong, sizeof wrong);
            for (uint64_t i = 0; i < memory_count; i++) write_all(memories[i].start, memories[i].bytes);
        }
        for (uint64_t i = 0; i < memory_count; i++) {
            system_call(MUNMAP, (long)memories[i].contents, (long)memories[i].inner, 0, 0);
            system_call(MUNMAP, (long)memories[i].mapping, (long)(memories[i].inner + 2 * PAGE), 0, 0);
        }
    }
    leave(0);
}

__asm__(".globl _start\n_start: bl start\n");
