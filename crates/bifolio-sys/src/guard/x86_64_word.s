# Guarded access to one word on x86-64: the second half of x86_64.s, whose rules and macros hold
# here. It also ends the text and the table.

# Each operation guards from its first access to its `ret`, where a fault resumes.
    .macro GUARDED name
    FAULT .Lguard_\name\()_access, .Lguard_\name\()_exit, .Lguard_\name\()_exit
    END \name
    .endm

    .macro FETCH_BITS op, bits, old, new, operand
    FUNCTION fetch_\op\()\bits
    xor edx, edx
.Lguard_fetch_\op\()\bits\()_access:
    mov \old, [rdi]
.Lguard_fetch_\op\()\bits\()_again:
    mov rcx, rax
    \op \new, \operand
    lock cmpxchg [rdi], \new
    jne .Lguard_fetch_\op\()\bits\()_again
.Lguard_fetch_\op\()\bits\()_exit:
    ret
    GUARDED fetch_\op\()\bits
    .endm

    # ax, cx, si: rax, rcx and rsi by their names at this width.
    .macro WORD bits, ax, cx, si
    # load(rdi) -> the word. Every load of x86 is an acquire.
    FUNCTION load\bits
    xor edx, edx
    xor eax, eax
.Lguard_load\bits\()_access:
    mov \ax, [rdi]
.Lguard_load\bits\()_exit:
    ret
    GUARDED load\bits

    # store(rdi, rsi). Every store of x86 is a release.
    FUNCTION store\bits
    xor edx, edx
    xor eax, eax
.Lguard_store\bits\()_access:
    mov [rdi], \si
.Lguard_store\bits\()_exit:
    ret
    GUARDED store\bits

    # swap(rdi, rsi) -> the word before. xchg with memory is locked; this is also the sequentially
    # consistent store.
    FUNCTION swap\bits
    xor edx, edx
    mov rax, rsi
.Lguard_swap\bits\()_access:
    xchg [rdi], \ax
.Lguard_swap\bits\()_exit:
    ret
    GUARDED swap\bits

    FUNCTION fetch_add\bits
    xor edx, edx
    mov rax, rsi
.Lguard_fetch_add\bits\()_access:
    lock xadd [rdi], \ax
.Lguard_fetch_add\bits\()_exit:
    ret
    GUARDED fetch_add\bits

    FETCH_BITS and, \bits, \ax, \cx, \si
    FETCH_BITS or, \bits, \ax, \cx, \si
    FETCH_BITS xor, \bits, \ax, \cx, \si

    # compare_exchange(rdi, rsi = expected, rdx = new) -> the word before; it was replaced if it
    # equals the expected one.
    FUNCTION compare_exchange\bits
    mov rax, rsi
    mov rcx, rdx
    xor edx, edx
.Lguard_compare_exchange\bits\()_access:
    lock cmpxchg [rdi], \cx
.Lguard_compare_exchange\bits\()_exit:
    ret
    GUARDED compare_exchange\bits
    .endm

    WORD 8, al, cl, sil
    WORD 16, ax, cx, si
    WORD 32, eax, ecx, esi
    WORD 64, rax, rcx, rsi

    SYMBOL text_end

    .section .rodata.bifolio_sys_0_1_guard, "a", @progbits
    SYMBOL table_end

    # 0: not known yet; 1: no AVX2; 2: AVX2. Threads that find it out at the same time write the
    # same.
    .section .bss.bifolio_sys_0_1_guard, "aw", @nobits
    SYMBOL avx2
    .zero 1

    .section .note.GNU-stack, "", @progbits
    .text
