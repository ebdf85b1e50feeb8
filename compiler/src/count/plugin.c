/* Plugin of QEMU's user mode: exactly which instructions a program executes, and how often.

   out=FILE: the first line is the number of all instructions. With from=A,to=B (hexadecimal) a line follows for each block of code between these addresses:
   a group, the block's address in hexadecimal, how many instructions it has, how often it was executed from its first to its last. With
   marks=A,count=N the N places of 8 bytes from A on are marks, and what is executed behind the mark of number k belongs to group k + 1;
   what is executed before any belongs to group 0.

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
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = PLUGIN_VERSION;

/* One for each translation: what is translated again is there again. */
struct block {
    struct block *next;
    uint64_t address, instructions;
    /* 0, or the group that begins here */
    uint64_t begins;
    /* by group; null where only the sum counts */
    uint64_t *executions;
};

static const char *out;
static uint64_t from, to, marks, mark_count;
static uint64_t all_instructions, group;
static struct block *blocks;

static void executed(unsigned cpu, void *user)
{
    struct block *b = user;
    (void)cpu;
    all_instructions += b->instructions;
    if (b->begins) group = b->begins;
    if (b->executions) b->executions[group]++;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    struct block *b = calloc(1, sizeof *b);
    (void)id;
    if (!b) abort();
    b->address = qemu_plugin_tb_vaddr(tb);
    b->instructions = qemu_plugin_tb_n_insns(tb);
    if (marks <= b->address && b->address < marks + 8 * mark_count) b->begins = (b->address - marks) / 8 + 1;
    if (from <= b->address && b->address < to) {
        if (!(b->executions = calloc(mark_count + 1, sizeof *b->executions))) abort();
        b->next = blocks;
        blocks = b;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, b);
}

static void ended(plugin_id id, void *user)
{
    const struct block *b;
    uint64_t g;
    FILE *file = fopen(out, "w");
    (void)id, (void)user;
    if (!file) abort();
    fprintf(file, "%llu\n", (unsigned long long)all_instructions);
    for (b = blocks; b; b = b->next)
        for (g = 0; g <= mark_count; g++)
            if (b->executions[g])
                fprintf(file, "%llu %llx %llu %llu\n", (unsigned long long)g, (unsigned long long)b->address,
                        (unsigned long long)b->instructions, (unsigned long long)b->executions[g]);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *about, int count, char **words)
{
    int i;
    (void)about;
    for (i = 0; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value) return 1;
        *value++ = 0;
        if (!strcmp(words[i], "out")) out = strdup(value);
        else if (!strcmp(words[i], "from")) from = strtoull(value, NULL, 16);
        else if (!strcmp(words[i], "to")) to = strtoull(value, NULL, 16);
        else if (!strcmp(words[i], "marks")) marks = strtoull(value, NULL, 16);
        else if (!strcmp(words[i], "count")) mark_count = strtoull(value, NULL, 10);
        else return 1;
    }
    if (!out) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
