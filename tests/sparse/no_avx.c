/* Preloaded library that hides AVX and what follows it from CPUID, so that a program behaves as on an older processor. It needs a processor and
   a kernel that can make CPUID fault (arch_prctl); where they cannot, the program ends with status 77. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
static long allow(int on) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, on); }

static void faulted(int signal_number, siginfo_t *about, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)r[REG_RIP];
    uint32_t leaf = (uint32_t)r[REG_RAX], part = (uint32_t)r[REG_RCX], a, b, c, d;
    (void)about;
    if (code[0] != 0x0f || code[1] != 0xa2) {
        /* A fault of the program's own. */
        signal(signal_number, SIG_DFL);
        return;
    }
    allow(1);
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(part));
    allow(0);
    if (leaf == 1) c &= ~(1u << 12 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29); /* FMA, XSAVE, OSXSAVE, AVX, F16C */
    if (leaf == 7 && part == 0) {
        b &= 1u << 3 | 1u << 8 | 1u << 9; /* what is left: BMI1, BMI2, ERMS */
        c = d = 0;
    }
    if (leaf == 7 && part == 1) a = b = c = d = 0;
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {0};
    action.sa_sigaction = faulted;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    if (allow(0) != 0) _exit(77);
}
