/* The guarded functions of one .s file, called from C: every operation at every byte around a missing page, with a handler of
 * its own, and each call watched for registers that it must preserve. Built and run by ../guard_asm.rs, natively and, for the
 * CPU that the Rust tests do not run on, by an emulator. Prints the number of calls and faults, or the first mismatch. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define NAME(name) bifolio_sys_0_1_##name
typedef void function(void);

/* Calls `f` with known values in all registers that it must preserve: out = { value, fault, nonzero if one of them changed }. */
void watched_call(function *f, size_t a, size_t b, size_t c, size_t out[3]);

#if defined(__x86_64__)
__asm__(
    ".text\n.globl watched_call\nwatched_call:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %r8\n"
    "mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi; mov %rcx, %rdx\n"
    "mov $0x11111111, %rbx; mov $0x22222222, %rbp; mov $0x33333333, %r12\n"
    "mov $0x44444444, %r13; mov $0x55555555, %r14; mov %rsp, %r15\n"
    "call *%rax\n"
    "xor %rsp, %r15; mov (%rsp), %r8; mov %rax, (%r8); mov %rdx, 8(%r8)\n"
    "xor $0x11111111, %rbx; xor $0x22222222, %rbp; xor $0x33333333, %r12\n"
    "xor $0x44444444, %r13; xor $0x55555555, %r14\n"
    "or %rbx, %r15; or %rbp, %r15; or %r12, %r15; or %r13, %r15; or %r14, %r15\n"
    "pushfq; pop %rcx; and $0x400, %ecx; or %rcx, %r15; mov %r15, 16(%r8)\n"
    "pop %r8; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");
#define PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define SECOND(context) ((context)->uc_mcontext.gregs[REG_RDX])
#elif defined(__aarch64__)
__asm__(
    ".text\n.globl watched_call\nwatched_call:\n"
    "stp x29, x30, [sp, #-176]!\n"
    "stp x19, x20, [sp, #16]; stp x21, x22, [sp, #32]; stp x23, x24, [sp, #48]; stp x25, x26, [sp, #64]\n"
    "stp x27, x28, [sp, #80]; stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]; stp d12, d13, [sp, #128]\n"
    "stp d14, d15, [sp, #144]; str x4, [sp, #160]\n"
    "mov x9, x0; mov x0, x1; mov x1, x2; mov x2, x3\n"
    "mov x19, #19; mov x20, #20; mov x21, #21; mov x22, #22; mov x23, #23; mov x24, #24; mov x25, #25\n"
    "mov x26, #26; mov x27, #27; mov x28, #28; mov x29, sp\n"
    "fmov d8, x19; fmov d9, x20; fmov d10, x21; fmov d11, x22; fmov d12, x23; fmov d13, x24; fmov d14, x25; fmov d15, x26\n"
    "mov x18, #24\n"
    "blr x9\n"
    "mov x10, sp; eor x9, x29, x10; ldr x4, [x10, #160]; stp x0, x1, [x4]\n"
    "eor x18, x18, #24; orr x9, x9, x18\n"
    ".macro damage reg, value\n mov x10, #\\value\n eor x10, x10, \\reg\n orr x9, x9, x10\n .endm\n"
    ".macro damage_d reg, value\n fmov x11, \\reg\n damage x11, \\value\n .endm\n"
    "damage x19, 19; damage x20, 20; damage x21, 21; damage x22, 22; damage x23, 23; damage x24, 24; damage x25, 25\n"
    "damage x26, 26; damage x27, 27; damage x28, 28\n"
    "damage_d d8, 19; damage_d d9, 20; damage_d d10, 21; damage_d d11, 22; damage_d d12, 23; damage_d d13, 24\n"
    "damage_d d14, 25; damage_d d15, 26\n"
    "str x9, [x4, #16]\n"
    "ldp x19, x20, [sp, #16]; ldp x21, x22, [sp, #32]; ldp x23, x24, [sp, #48]; ldp x25, x26, [sp, #64]\n"
    "ldp x27, x28, [sp, #80]; ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]; ldp d12, d13, [sp, #128]\n"
    "ldp d14, d15, [sp, #144]; ldp x29, x30, [sp], #176; ret\n");
#define PC(context) ((context)->uc_mcontext.pc)
#define SECOND(context) ((context)->uc_mcontext.regs[1])
#endif

extern const int32_t NAME(guard_table)[], NAME(guard_table_end)[];
extern const char NAME(guard_text_start)[], NAME(guard_text_end)[];
#if defined(__x86_64__)
extern uint8_t NAME(guard_avx2);
#endif
function NAME(copy), NAME(copy_streaming), NAME(fill), NAME(compare), NAME(find_byte);
#define WORD_FUNCTIONS(bits) \
    function NAME(load##bits), NAME(store##bits), NAME(swap##bits), NAME(fetch_add##bits), NAME(fetch_and##bits), \
        NAME(fetch_or##bits), NAME(fetch_xor##bits), NAME(compare_exchange##bits);
WORD_FUNCTIONS(8) WORD_FUNCTIONS(16) WORD_FUNCTIONS(32) WORD_FUNCTIONS(64)

static _Atomic size_t calls, faults;
/* A page that the handler makes accessible at the next fault, as another thread could: the rest of the call succeeds. */
static void *volatile repair;
static size_t page;

static void on_fault(int signal, siginfo_t *info, void *raw) {
    ucontext_t *context = raw;
    uintptr_t pc = PC(context);
    if (pc < (uintptr_t)NAME(guard_text_start) || pc >= (uintptr_t)NAME(guard_text_end)) abort();
    for (const int32_t *entry = NAME(guard_table); entry < NAME(guard_table_end); entry += 3) {
        uintptr_t base = (uintptr_t)entry;
        if (pc >= base + (intptr_t)entry[0] && pc < base + (intptr_t)entry[1]) {
            PC(context) = base + (intptr_t)entry[2];
            SECOND(context) = (uint32_t)signal | ((uint32_t)info->si_code & 0xff) << 8;
            faults++;
            if (repair) mprotect(repair, page, PROT_READ | PROT_WRITE), repair = NULL;
            return;
        }
    }
    abort();
}

static const char *doing = "starting";
#define REQUIRE(condition, ...) \
    do { \
        if (!(condition)) { \
            printf("FAILED: %s: %s: ", doing, #condition); \
            printf(__VA_ARGS__); \
            printf("\n"); \
            exit(1); \
        } \
    } while (0)

struct ret { size_t value, fault; };

static struct ret call(function *f, size_t a, size_t b, size_t c) {
    size_t out[3];
    watched_call(f, a, b, c, out);
#if defined(__x86_64__)
    if (NAME(guard_avx2) == 2) {
        /* What lies there makes every later SSE instruction slower. */
        uint64_t upper[4];
        __asm__ volatile("vextractf128 $1, %%ymm0, (%0); vextractf128 $1, %%ymm1, 16(%0)" : : "r"(upper) : "memory");
        REQUIRE(!(upper[0] | upper[1] | upper[2] | upper[3]), "the upper halves of ymm are not zero");
    }
#endif
    calls++;
    REQUIRE(out[2] == 0, "a preserved register changed");
    return (struct ret){out[0], out[1]};
}

enum { PAGES = 5, BEFORE = 0xee, FILLED = 0xf0 };
struct arena { uint8_t *guarded, *open; size_t boundary; int signal, si_code; };

/* Five pages mapped twice; in `guarded` the last is missing: not permitted, or beyond the end of the file. */
static struct arena arena_new(int truncated) {
    int fd = memfd_create("arena", 0);
    size_t len = PAGES * page;
    if (fd < 0 || ftruncate(fd, len)) abort();
    struct arena arena = {.boundary = len - page, .signal = truncated ? SIGBUS : SIGSEGV, .si_code = 2};
    arena.guarded = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    arena.open = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (arena.guarded == MAP_FAILED || arena.open == MAP_FAILED) abort();
    if (truncated ? ftruncate(fd, len - page) : mprotect(arena.guarded + len - page, page, PROT_NONE)) abort();
    close(fd);
    return arena;
}

static uint8_t pattern(size_t index) { return index % 251 | 1; }

static void check_ret(struct ret ret, size_t value, const struct arena *at_fault) {
    size_t code = at_fault ? (size_t)(at_fault->signal | at_fault->si_code << 8) : 0;
    REQUIRE(ret.value == value && ret.fault == code, "value %zu for %zu, fault %#zx for %#zx", ret.value, value, ret.fault, code);
}

static size_t done_of(long start, long end) { return end <= 0 || start == end ? end - start : start < 0 ? -start : 0; }

static void each_range(struct arena arena, long start, long end) {
    static uint8_t other[PAGES * 65536];
    size_t len = end - start, at = arena.boundary + start, done = done_of(start, end);
    const struct arena *fault = done < len ? &arena : NULL;
    uint8_t *guarded = arena.guarded + at, *open = arena.open + at, *mine = other + 128 + (at & 31);
    /* How far `open` may be looked at: a page beyond the end of the file is in neither view. */
    long visible = arena.signal == SIGBUS && end + 99 > 0 ? -start : (long)len + 99;
    function *const copies[] = {NAME(copy), NAME(copy_streaming)};
    for (int which = 0; which < 2; which++) {
        doing = "copy from the arena";
        for (long i = -99; i < visible; i++)
            if (at + i < arena.boundary) open[i] = pattern(at + i);
        memset(mine - 99, BEFORE, len + 198);
        check_ret(call(copies[which], (size_t)mine, (size_t)guarded, len), done, fault);
        for (long i = -99; i < (long)len + 99; i++) {
            uint8_t want = i >= 0 && i < (long)done ? pattern(at + i) : BEFORE;
            REQUIRE(mine[i] == want, "%ld..%ld at %ld", start, end, i);
        }
        doing = "copy to the arena";
        for (size_t i = 0; i < len; i++) mine[i] = pattern(i);
        for (long i = -99; i < visible; i++) open[i] = BEFORE;
        check_ret(call(copies[which], (size_t)guarded, (size_t)mine, len), done, fault);
        for (long i = -99; i < visible; i++) {
            uint8_t want = i >= 0 && i < (long)done ? pattern(i) : BEFORE;
            REQUIRE(open[i] == want, "%ld..%ld at %ld", start, end, i);
        }
    }
    doing = "compare";
    for (size_t i = 0; i < done; i++) open[i] = pattern(i);
    check_ret(call(NAME(compare), (size_t)mine, (size_t)guarded, len), done, fault);
    check_ret(call(NAME(compare), (size_t)guarded, (size_t)mine, len), done, fault);
    size_t places[] = {0, 1, done / 2, done - 1};
    for (int i = 0; i < 4; i++) {
        if (places[i] >= done) continue;
        open[places[i]] ^= 0x80;
        check_ret(call(NAME(compare), (size_t)guarded, (size_t)mine, len), places[i], NULL);
        open[places[i]] ^= 0x80;
    }
    doing = "fill";
    for (long i = -99; i < visible; i++) open[i] = BEFORE;
    check_ret(call(NAME(fill), (size_t)guarded, 0xabcdef00 | FILLED, len), done, fault);
    for (long i = -99; i < visible; i++) {
        uint8_t want = i >= 0 && i < (long)done ? FILLED : BEFORE;
        REQUIRE(open[i] == want, "%ld..%ld at %ld", start, end, i);
    }
    doing = "find_byte";
    for (size_t i = 0; i < done; i++) open[i] = BEFORE;
    if (visible > -1) open[-1] = FILLED;
    check_ret(call(NAME(find_byte), (size_t)guarded, FILLED, len), done, fault);
    for (int i = 0; i < 4; i++) {
        if (places[i] >= done) continue;
        memset(open + places[i], FILLED, done - places[i]);
        check_ret(call(NAME(find_byte), (size_t)guarded, 0xabcdef00 | FILLED, len), places[i], NULL);
        memset(open, BEFORE, done);
    }
}

/* The page comes back between the fault of a wide access and the bytes that are tried again: no fault is reported. */
static void repaired(struct arena arena) {
    static uint8_t mine[4096];
    uint8_t *last = arena.guarded + arena.boundary;
    function *const functions[] = {NAME(copy), NAME(copy_streaming), NAME(fill), NAME(compare), NAME(find_byte)};
    for (int which = 0; which < 5; which++) {
        for (size_t len = 16; len <= 1000; len += len < 80 ? 1 : 59) {
            doing = "a page that comes back";
            memset(arena.open + arena.boundary - 2048, 0, 4096);
            mprotect(last, page, PROT_NONE);
            repair = last;
            size_t start = (size_t)(last - len / 2), second = which == 4 || which == 2 ? 1 : (size_t)mine;
            struct ret ret = call(functions[which], start, second, len);
            repair = NULL;
            REQUIRE(ret.value == len && ret.fault == 0, "function %d, %zu of %zu, fault %#zx", which, ret.value, len, ret.fault);
        }
    }
    mprotect(last, page, PROT_NONE);
}

#define WORD_TESTS(bits) \
    static void words##bits(struct arena arena) { \
        typedef uint##bits##_t word; \
        function *const f[] = {NAME(load##bits), NAME(store##bits), NAME(swap##bits), NAME(fetch_add##bits), \
            NAME(fetch_and##bits), NAME(fetch_or##bits), NAME(fetch_xor##bits), NAME(compare_exchange##bits)}; \
        word values[] = {0, 1, 0x5a, (word)1 << (bits - 1), (word)-2, (word)-1}; \
        uint8_t *at = arena.guarded + 64, before[192]; \
        for (int which = 0; which < 9; which++) \
            for (int i = 0; i < 36; i++) { \
                word old = values[i / 6], value = values[i % 6]; \
                /* 8 is a compare_exchange that finds another word. */ \
                word results[] = {old, value, value, old + value, old & value, old | value, old ^ value, value, old}; \
                doing = "words of " #bits " bits"; \
                memset(arena.open, 0xa5, 192), memcpy(arena.open + 64, &old, sizeof old); \
                memcpy(before, arena.open, 192), memcpy(before + 64, &results[which], sizeof old); \
                /* What lies above the word in a register means nothing. */ \
                size_t junk = bits == 64 ? 0 : 0x1234567800000000 | (bits == 32 ? 0 : 0xabcd0000); \
                size_t second = which == 7 ? old | junk : which == 8 ? (word)~old | junk : value | junk; \
                struct ret ret = call(f[which == 8 ? 7 : which], (size_t)at, second, value | junk); \
                REQUIRE(ret.fault == 0, "operation %d", which); \
                REQUIRE(which == 1 || (word)ret.value == old, "operation %d, %d", which, i); \
                REQUIRE(!memcmp(before, arena.open, 192), "operation %d, %d", which, i); \
            } \
        for (int which = 0; which < 8; which++) { \
            struct ret ret = call(f[which], (size_t)(arena.guarded + arena.boundary), 1, 1); \
            REQUIRE(ret.fault == (size_t)(arena.signal | arena.si_code << 8), "operation %d", which); \
        } \
        mprotect(arena.guarded, page, PROT_READ); \
        for (int which = 0; which < 8; which++) { \
            word old; \
            memcpy(&old, at, sizeof old); \
            struct ret ret = call(f[which], (size_t)at, old, 1); \
            REQUIRE(ret.fault == (which ? (size_t)(SIGSEGV | 2 << 8) : 0), "operation %d, read only", which); \
            REQUIRE(!memcmp(before, arena.open, 192), "operation %d", which); \
        } \
        mprotect(arena.guarded, page, PROT_READ | PROT_WRITE); \
    } \
    static void *thread##bits(void *raw) { \
        uint8_t *at = *(uint8_t **)raw; \
        size_t bit = (size_t)1 << *(int *)((uint8_t **)raw + 1), *words = (size_t *)at, value; \
        for (int i = 0; i < ROUNDS; i++) call(NAME(fetch_add##bits), (size_t)(words + 0), 1, 0); \
        for (int i = 0; i < ROUNDS; i++) { \
            do { \
                value = call(NAME(load##bits), (size_t)(words + 8), 0, 0).value; \
            } while (call(NAME(compare_exchange##bits), (size_t)(words + 8), value, value + 3).value != value); \
        } \
        for (int i = 0; i < ROUNDS; i++) { \
            REQUIRE(!(call(NAME(fetch_or##bits), (size_t)(words + 16), bit, 0).value & bit), "or, and"); \
            REQUIRE(call(NAME(fetch_and##bits), (size_t)(words + 16), ~bit, 0).value & bit, "or, and"); \
            REQUIRE(!(call(NAME(fetch_xor##bits), (size_t)(words + 24), bit, 0).value & bit), "xor"); \
            REQUIRE(call(NAME(fetch_xor##bits), (size_t)(words + 24), bit, 0).value & bit, "xor"); \
        } \
        for (int i = 0; i < ROUNDS / 10; i++) { \
            while (call(NAME(swap##bits), (size_t)(words + 32), 1, 0).value) sched_yield(); \
            value = call(NAME(load##bits), (size_t)(words + 40), 0, 0).value; \
            call(NAME(store##bits), (size_t)(words + 40), value + 1, 0); \
            call(NAME(store##bits), (size_t)(words + 32), 0, 0); \
        } \
        return NULL; \
    } \
    static void threads##bits(struct arena arena) { \
        typedef uint##bits##_t word; \
        doing = "threads, " #bits " bits"; \
        memset(arena.open, 0, 512); \
        pthread_t threads[THREADS]; \
        struct { uint8_t *at; int index; } arguments[THREADS]; \
        for (int i = 0; i < THREADS; i++) { \
            arguments[i].at = arena.guarded, arguments[i].index = i; \
            if (pthread_create(&threads[i], NULL, thread##bits, &arguments[i])) abort(); \
        } \
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL); \
        word ends[] = {(word)(THREADS * ROUNDS), (word)(THREADS * ROUNDS * 3), 0, 0, 0, (word)(THREADS * ROUNDS / 10)}; \
        for (int i = 0; i < 6; i++) { \
            word got; \
            memcpy(&got, arena.open + 64 * i, sizeof got); \
            REQUIRE(got == ends[i], "word %d is %llu, not %llu", i, (unsigned long long)got, (unsigned long long)ends[i]); \
        } \
    }
enum { THREADS = 4, ROUNDS = 20000 };
WORD_TESTS(8) WORD_TESTS(16) WORD_TESTS(32) WORD_TESTS(64)

static void all(void) {
    for (int truncated = 0; truncated < 2; truncated++) {
        struct arena arena = arena_new(truncated);
        for (long start = -70; start <= 70; start++)
            for (long end = start; end <= 70; end++) each_range(arena, start, end);
        static const long ends[] = {-65, -16, -1, 0, 1, 2, 31, 64};
        for (long len = 0; len < 8200; len += len < 300 ? 1 : len > 4085 && len < 4105 ? 1 : 13)
            for (int i = 0; i < 8; i++)
                if (len < 300 || (len + i) % 8 == 0) each_range(arena, ends[i] - len, ends[i]);
        words8(arena), words16(arena), words32(arena), words64(arena);
        if (!truncated) repaired(arena);
    }
}

int main(void) {
    page = sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    all();
#if defined(__x86_64__)
    doing = "detection of AVX2";
    REQUIRE(NAME(guard_avx2) == (__builtin_cpu_supports("avx2") ? 2 : 1), "%d", NAME(guard_avx2));
    /* And as on a CPU without it. */
    if (NAME(guard_avx2) == 2) NAME(guard_avx2) = 1, all();
#endif
    struct arena arena = arena_new(0);
    threads8(arena), threads16(arena), threads32(arena), threads64(arena);
    printf("ok: %zu calls, %zu faults\n", calls, faults);
    return 0;
}
