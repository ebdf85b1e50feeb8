/* Plugin of QEMU's user mode: how many instructions the program executed, written to the file out=FILE.

   Only what is needed of qemu-plugin.h is declared here, which distributions do not ship; it has been the same since the interface's first
   version. PLUGIN_VERSION is the version that the emulator wants. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
typedef uint64_t plugin_id;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = PLUGIN_VERSION;
static uint64_t instructions;
static const char *out;

static void executed(unsigned cpu, void *count)
{
    (void)cpu;
    instructions += (uint64_t)(uintptr_t)count;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void ended(plugin_id id, void *user)
{
    FILE *file = fopen(out, "w");
    (void)id, (void)user;
    if (!file) abort();
    fprintf(file, "%llu\n", (unsigned long long)instructions);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *about, int count, char **words)
{
    (void)about;
    if (count != 1 || strncmp(words[0], "out=", 4) != 0) return 1;
    out = strdup(words[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
