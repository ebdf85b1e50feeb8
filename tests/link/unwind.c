/* Calls the model of m.h and looks at the stack from inside of it: at every instruction on x86-64, where the processor can step, and elsewhere
   whenever the model touches a page for the first time. Each time the way must lead to `main`, by way of `enter`, whose registers
   must have the values that it gave them. Ends with 0 if so. */
#define _GNU_SOURCE
#include "m.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#define STEPS 50000
#define PAGE 4096

/* status = f(a, b, c) with a number in every register that f must keep. On x86-64 the processor traps after each instruction. */
int32_t enter(void *a, void *b, void *c, void *f);
extern const char enter_end[];
int main(void);

#if defined(__x86_64__)
__asm__(".text\n.globl enter\n.type enter, @function\nenter:\n.cfi_startproc\n"
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset rbp, -16\n"
        "push %rbx\n.cfi_def_cfa_offset 24\n.cfi_offset rbx, -24\n"
        "push %r12\n.cfi_def_cfa_offset 32\n.cfi_offset r12, -32\n"
        "push %r13\n.cfi_def_cfa_offset 40\n.cfi_offset r13, -40\n"
        "push %r14\n.cfi_def_cfa_offset 48\n.cfi_offset r14, -48\n"
        "push %r15\n.cfi_def_cfa_offset 56\n.cfi_offset r15, -56\n"
        "sub $8, %rsp\n.cfi_def_cfa_offset 64\n"
        "mov $1003, %ebx\nmov $1006, %ebp\nmov $1012, %r12d\nmov $1013, %r13d\nmov $1014, %r14d\nmov $1015, %r15d\n"
        "pushfq\n.cfi_adjust_cfa_offset 8\norq $256, (%rsp)\npopfq\n.cfi_adjust_cfa_offset -8\n"
        "call *%rcx\n"
        "pushfq\n.cfi_adjust_cfa_offset 8\nandq $-257, (%rsp)\npopfq\n.cfi_adjust_cfa_offset -8\n"
        "add $8, %rsp\n.cfi_def_cfa_offset 56\n"
        "pop %r15\n.cfi_def_cfa_offset 48\npop %r14\n.cfi_def_cfa_offset 40\npop %r13\n.cfi_def_cfa_offset 32\n"
        "pop %r12\n.cfi_def_cfa_offset 24\npop %rbx\n.cfi_def_cfa_offset 16\npop %rbp\n.cfi_def_cfa_offset 8\n"
        "ret\n.cfi_endproc\n.size enter, .-enter\n.globl enter_end\nenter_end:\n");
static const int kept[] = {3, 6, 12, 13, 14, 15};
#define PC(u) ((size_t)(u)->uc_mcontext.gregs[REG_RIP])
#else
__asm__(".text\n.globl enter\n.type enter, @function\nenter:\n.cfi_startproc\n"
        "stp x29, x30, [sp, #-96]!\n.cfi_def_cfa_offset 96\n.cfi_offset 29, -96\n.cfi_offset 30, -88\n"
        "stp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\nstp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\n"
        ".cfi_offset 19, -80\n.cfi_offset 20, -72\n.cfi_offset 21, -64\n.cfi_offset 22, -56\n.cfi_offset 23, -48\n"
        ".cfi_offset 24, -40\n.cfi_offset 25, -32\n.cfi_offset 26, -24\n.cfi_offset 27, -16\n.cfi_offset 28, -8\n"
        "mov x19, 1019\nmov x20, 1020\nmov x21, 1021\nmov x22, 1022\nmov x23, 1023\nmov x24, 1024\nmov x25, 1025\nmov x26, 1026\n"
        "mov x27, 1027\nmov x28, 1028\nmov x29, 1029\n"
        "blr x3\n"
        "ldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\nldp x25, x26, [sp, #64]\nldp x27, x28, [sp, #80]\n"
        "ldp x29, x30, [sp], #96\n.cfi_def_cfa_offset 0\n"
        "ret\n.cfi_endproc\n.size enter, .-enter\n.globl enter_end\nenter_end:\n");
static const int kept[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
#define PC(u) ((size_t)(u)->uc_mcontext.pc)
#endif

static size_t where;
static int frames, sees_enter, sees_main, wrong;
static unsigned long looks;

static _Unwind_Reason_Code frame(struct _Unwind_Context *context, void *unused)
{
    size_t function = _Unwind_GetRegionStart(context), i;
    (void)unused;
    sees_main |= sees_enter && function == (size_t)main;
    if (function == (size_t)enter) {
        sees_enter = 1;
        for (i = 0; i < sizeof kept / sizeof *kept; i++) wrong |= _Unwind_GetGR(context, kept[i]) != (_Unwind_Word)(1000 + kept[i]);
    }
    return 64 < ++frames || sees_main ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static void look(void *context)
{
    where = PC((ucontext_t *)context);
    /* In `enter` itself it steps before and after the model. */
    if ((size_t)enter <= where && where < (size_t)enter_end) return;
    frames = sees_enter = sees_main = wrong = 0;
    _Unwind_Backtrace(frame, 0);
    looks++;
    if (sees_main && !wrong) return;
    fprintf(stderr, "look %lu: %d frames, enter %d, main %d, wrong registers %d, %ld bytes into the model\n", looks, frames, sees_enter,
            sees_main, wrong, (long)(where - (size_t)m_invoke));
    _exit(3);
}

static struct { char *first; size_t bytes; } hidden[33];
static size_t hidden_count;

static void touched(int number, siginfo_t *info, void *context)
{
    size_t i;
    (void)number;
    for (i = 0; i < hidden_count; i++) {
        size_t offset = (size_t)((char *)info->si_addr - hidden[i].first);
        if (hidden[i].bytes <= offset) continue;
        look(context);
        if (mprotect(hidden[i].first + offset / PAGE * PAGE, PAGE, PROT_READ | PROT_WRITE)) _exit(4);
        return;
    }
    _exit(5);
}

static void stepped(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    look(context);
#if defined(__x86_64__)
    if (STEPS < looks) ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~256L;
#endif
}

/* Pages that the model must not touch unseen. */
static void *memory(size_t bytes)
{
    size_t whole = (bytes + PAGE) / PAGE * PAGE;
    void *p = mmap(0, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) exit(2);
    hidden[hidden_count].first = p;
    hidden[hidden_count++].bytes = whole;
    return p;
}

int main(void)
{
    const cranelite_model *m = &m_model;
    void *in[16], *out[16], *arena = memory(m->arena_bytes), *invoke;
    struct sigaction action;
    uint32_t i;
    cranelite_status (*typed)(const m_inputs *, const m_outputs *, void *) = m_invoke;
    memcpy(&invoke, &typed, sizeof invoke);
    for (i = 0; i < m->input_count; i++) in[i] = memory(m->inputs[i].bytes);
    for (i = 0; i < m->output_count; i++) out[i] = memory(m->outputs[i].bytes);
    memset(&action, 0, sizeof action);
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = touched;
    sigaction(SIGSEGV, &action, 0);
    action.sa_sigaction = stepped;
    sigaction(SIGTRAP, &action, 0);
    if (enter(in, out, arena, invoke)) return 6;
    /* Twice at least: where it reads its input and where it writes its output. */
    return looks < 2 ? 7 : 0;
}
