# Guarded memory access for x86-64 (System V ABI; SSE2, and AVX2 where it is there), in Intel syntax
# (GNU as: -msyntax=intel -mnaked-reg). The contract is written in mod.rs; what holds here:
#
# 1. A fault between the two labels of a FAULT line resumes at its third label, with every register
#    as the faulting instruction left it, except rdx, which then holds the nonzero fault code. So
#    rdx holds nothing else while memory is touched: it is zero from the entry of a function to its
#    end, unless a fault put its code there.
# 2. A function returns rax = value, rdx = 0 or the fault code. Only rax, rcx, rdx, rsi, rdi, r8-r10
#    and xmm0-xmm7 (ymm0 and ymm1, whose upper halves are zero again at the end) are written, and
#    the direction flag, which the ABI gives us clear, is left alone.
# 3. At each instruction that can fault the byte-by-byte code below it can take over with the
#    registers as they are.
# 4. Stores go from low to high addresses, and no byte is stored whose source was not loaded.

    .macro FUNCTION name
    .p2align 5
    .globl bifolio_sys_0_1_\name
    .hidden bifolio_sys_0_1_\name
    .type bifolio_sys_0_1_\name, @function
bifolio_sys_0_1_\name:
    .cfi_startproc
    .endm

    .macro END name
    .cfi_endproc
    .size bifolio_sys_0_1_\name, . - bifolio_sys_0_1_\name
    .endm

    # One entry of the table: three distances from the entry's own address, so that nothing is
    # relocated when the program starts.
    .macro FAULT start, end, resume
    .pushsection .rodata.bifolio_sys_0_1_guard, "a", @progbits
    .long \start - .
    .long \end - . + 4
    .long \resume - . + 8
    .popsection
    .endm

    # A symbol beside the functions: a boundary of the text or of the table, or the byte of state.
    .macro SYMBOL name
    .globl bifolio_sys_0_1_guard_\name
    .hidden bifolio_sys_0_1_guard_\name
bifolio_sys_0_1_guard_\name:
    .endm

    # A loop of the copies has done 64 bytes: are more than 64 left?
    .macro COPIED_64
    add rsi, 64
    add rdi, 64
    sub rcx, 64
    cmp rcx, 64
    .endm

    .section .rodata.bifolio_sys_0_1_guard, "a", @progbits
    .p2align 2
    SYMBOL table

    .section .text.bifolio_sys_0_1_guard, "ax", @progbits
    .p2align 6
    SYMBOL text_start

# copy(rdi = destination, rsi = source, rdx = length) -> bytes copied From the first access on rdi,
# rsi and rcx describe what is left to copy, and rax is the whole length.
    FUNCTION copy
    mov rax, rdx
    mov rcx, rdx
    xor edx, edx
    cmp rcx, 16
    jb .Lguard_copy_below_16
    cmp rcx, 32
    ja .Lguard_copy_above_32
.Lguard_copy_wide:
    movdqu xmm0, [rsi]
    movdqu xmm1, [rsi + rcx - 16]
    movdqu [rdi], xmm0
    movdqu [rdi + rcx - 16], xmm1
    ret
.Lguard_copy_below_16:
    cmp ecx, 8
    jb .Lguard_copy_below_8
    mov r8, [rsi]
    mov r9, [rsi + rcx - 8]
    mov [rdi], r8
    mov [rdi + rcx - 8], r9
    ret
.Lguard_copy_below_8:
    cmp ecx, 4
    jb .Lguard_copy_below_4
    mov r8d, [rsi]
    mov r9d, [rsi + rcx - 4]
    mov [rdi], r8d
    mov [rdi + rcx - 4], r9d
    ret
.Lguard_copy_below_4:
    test ecx, ecx
    jz .Lguard_copy_end
    movzx r8d, byte ptr [rsi]
    cmp ecx, 1
    je .Lguard_copy_1
    movzx r9d, word ptr [rsi + rcx - 2]
    mov [rdi], r8b
    mov [rdi + rcx - 2], r9w
    ret
.Lguard_copy_1:
    mov [rdi], r8b
.Lguard_copy_end:
    ret
.Lguard_copy_above_32:
    cmp rcx, 64
    ja .Lguard_copy_above_64
    movdqu xmm0, [rsi]
    movdqu xmm1, [rsi + 16]
    movdqu xmm2, [rsi + rcx - 32]
    movdqu xmm3, [rsi + rcx - 16]
    movdqu [rdi], xmm0
    movdqu [rdi + 16], xmm1
    movdqu [rdi + rcx - 32], xmm2
    movdqu [rdi + rcx - 16], xmm3
    ret
.Lguard_copy_above_64:
    # Longer copies are left to `rep movsb`. In the first cache it costs less from 3 KiB on, but up
    # to twice as much where the destination lies a little behind the source in its page, and more
    # from the second cache: a page is copied by these loops.
    cmp rcx, 6144
    jae .Lguard_copy_bytes
    cmp byte ptr [rip + bifolio_sys_0_1_guard_avx2], 1
    jb .Lguard_copy_detect
    ja .Lguard_copy_avx2
    .p2align 5
.Lguard_copy_64:
    movdqu xmm0, [rsi]
    movdqu xmm1, [rsi + 16]
    movdqu xmm2, [rsi + 32]
    movdqu xmm3, [rsi + 48]
    movdqu [rdi], xmm0
    movdqu [rdi + 16], xmm1
    movdqu [rdi + 32], xmm2
    movdqu [rdi + 48], xmm3
    COPIED_64
    ja .Lguard_copy_64
.Lguard_copy_last_64:
    # 1 to 64 bytes are left, and at least 64 were done: the last 64 bytes overlap those.
    movdqu xmm0, [rsi + rcx - 64]
    movdqu xmm1, [rsi + rcx - 48]
    movdqu xmm2, [rsi + rcx - 32]
    movdqu xmm3, [rsi + rcx - 16]
    movdqu [rdi + rcx - 64], xmm0
    movdqu [rdi + rcx - 48], xmm1
    movdqu [rdi + rcx - 32], xmm2
    movdqu [rdi + rcx - 16], xmm3
    ret
    .p2align 5
.Lguard_copy_avx2:
    vmovdqu ymm0, [rsi]
    vmovdqu ymm1, [rsi + 32]
    vmovdqu [rdi], ymm0
    vmovdqu [rdi + 32], ymm1
    COPIED_64
    ja .Lguard_copy_avx2
.Lguard_copy_avx2_last_64:
    vmovdqu ymm0, [rsi + rcx - 64]
    vmovdqu ymm1, [rsi + rcx - 32]
    vmovdqu [rdi + rcx - 64], ymm0
    vmovdqu [rdi + rcx - 32], ymm1
    vzeroupper
    ret
.Lguard_copy_avx2_fault:
    vzeroupper
.Lguard_copy_bytes:
    # Long copies, and what a fault left. A fault leaves in rcx how many bytes were not copied.
    xor edx, edx
.Lguard_copy_rep:
    rep movsb
.Lguard_copy_exit:
    sub rax, rcx
    ret
.Lguard_copy_detect:
    call .Lguard_detect_avx2
    jmp .Lguard_copy_above_64
    FAULT .Lguard_copy_wide, .Lguard_copy_above_64, .Lguard_copy_bytes
    FAULT .Lguard_copy_64, .Lguard_copy_avx2, .Lguard_copy_bytes
    FAULT .Lguard_copy_avx2, .Lguard_copy_avx2_fault, .Lguard_copy_avx2_fault
    FAULT .Lguard_copy_rep, .Lguard_copy_exit, .Lguard_copy_exit
    END copy

# copy_streaming(rdi, rsi, rdx): copy, for a caller that goes on with what follows the source: asks
# for that ahead. A prefetch does not fault. 8 KiB ahead is where copying 1 GiB in pieces of 4 KiB,
# with work on each, was fastest.
    FUNCTION copy_streaming
    cmp rdx, 64
    jbe bifolio_sys_0_1_copy
    mov rax, rdx
    mov rcx, rdx
    xor edx, edx
.Lguard_copy_streaming_above_64:
    cmp byte ptr [rip + bifolio_sys_0_1_guard_avx2], 1
    jb .Lguard_copy_streaming_detect
    ja .Lguard_copy_streaming_avx2
    .p2align 5
.Lguard_copy_streaming_64:
    prefetcht0 [rsi + 8192]
    movdqu xmm0, [rsi]
    movdqu xmm1, [rsi + 16]
    movdqu xmm2, [rsi + 32]
    movdqu xmm3, [rsi + 48]
    movdqu [rdi], xmm0
    movdqu [rdi + 16], xmm1
    movdqu [rdi + 32], xmm2
    movdqu [rdi + 48], xmm3
    COPIED_64
    ja .Lguard_copy_streaming_64
    prefetcht0 [rsi + 8192]
    jmp .Lguard_copy_last_64
    .p2align 5
.Lguard_copy_streaming_avx2:
    prefetcht0 [rsi + 8192]
    vmovdqu ymm0, [rsi]
    vmovdqu ymm1, [rsi + 32]
    vmovdqu [rdi], ymm0
    vmovdqu [rdi + 32], ymm1
    COPIED_64
    ja .Lguard_copy_streaming_avx2
    prefetcht0 [rsi + 8192]
    jmp .Lguard_copy_avx2_last_64
.Lguard_copy_streaming_detect:
    call .Lguard_detect_avx2
    jmp .Lguard_copy_streaming_above_64
    FAULT .Lguard_copy_streaming_64, .Lguard_copy_streaming_avx2, .Lguard_copy_bytes
    FAULT .Lguard_copy_streaming_avx2, .Lguard_copy_streaming_detect, .Lguard_copy_avx2_fault
    END copy_streaming

# Finds out, once, whether the CPU has AVX2 and the kernel keeps its registers. Changes r8-r10 only.
    .p2align 5
.Lguard_detect_avx2:
    .cfi_startproc
    mov r8, rax
    mov r9, rcx
    mov r10, rbx
    .cfi_register rbx, r10
    mov eax, 1
    xor ecx, ecx
    cpuid
    mov eax, 1
    # OSXSAVE and AVX; a CPU that has them knows leaf 7 too.
    and ecx, 0x18000000
    cmp ecx, 0x18000000
    jne .Lguard_detected
    # The kernel saves xmm and ymm.
    xor ecx, ecx
    xgetbv
    and eax, 6
    cmp eax, 6
    mov eax, 1
    jne .Lguard_detected
    mov eax, 7
    xor ecx, ecx
    cpuid
    mov eax, 1
    bt ebx, 5
    adc eax, 0
.Lguard_detected:
    mov [rip + bifolio_sys_0_1_guard_avx2], al
    mov rbx, r10
    .cfi_restore rbx
    mov rax, r8
    mov rcx, r9
    xor edx, edx
    ret
    .cfi_endproc

# fill(rdi = destination, esi = byte, rdx = length) -> bytes written From the first access on rdi
# and rcx describe what is left to fill, r8 is the whole length, rax the byte eight times.
    FUNCTION fill
    mov r8, rdx
    mov rcx, rdx
    movzx esi, sil
    movabs rax, 0x0101010101010101
    imul rax, rsi
    xor edx, edx
    cmp rcx, 16
    jb .Lguard_fill_below_16
    cmp rcx, 1024
    jae .Lguard_fill_bytes
    movq xmm0, rax
    punpcklqdq xmm0, xmm0
.Lguard_fill_wide:
    cmp rcx, 64
    jbe .Lguard_fill_last_64
.Lguard_fill_64:
    movdqu [rdi], xmm0
    movdqu [rdi + 16], xmm0
    movdqu [rdi + 32], xmm0
    movdqu [rdi + 48], xmm0
    add rdi, 64
    sub rcx, 64
    cmp rcx, 64
    ja .Lguard_fill_64
.Lguard_fill_last_64:
    # 1 to 64 bytes are left; at least 16 in all.
    cmp rcx, 16
    jbe .Lguard_fill_last_16
    movdqu [rdi], xmm0
    add rdi, 16
    sub rcx, 16
    jmp .Lguard_fill_last_64
.Lguard_fill_last_16:
    movdqu [rdi + rcx - 16], xmm0
    mov rax, r8
    ret
.Lguard_fill_below_16:
    cmp ecx, 8
    jb .Lguard_fill_below_8
    mov [rdi], rax
    mov [rdi + rcx - 8], rax
    mov rax, r8
    ret
.Lguard_fill_below_8:
    cmp ecx, 4
    jb .Lguard_fill_bytes
    mov [rdi], eax
    mov [rdi + rcx - 4], eax
    mov rax, r8
    ret
.Lguard_fill_bytes:
    xor edx, edx
.Lguard_fill_rep:
    rep stosb
.Lguard_fill_exit:
    mov rax, r8
    sub rax, rcx
    ret
    FAULT .Lguard_fill_wide, .Lguard_fill_bytes, .Lguard_fill_bytes
    FAULT .Lguard_fill_rep, .Lguard_fill_exit, .Lguard_fill_exit
    END fill

# compare and find_byte ask for memory 4 KiB ahead, which is where 1 GiB was read fastest. A
# prefetch does not fault.

# compare(rdi, rsi, rdx = length) -> bytes that are equal: the length, or the offset of the first
# difference rax is the offset up to which all is equal, rcx the length.
    FUNCTION compare
    mov rcx, rdx
    xor edx, edx
    xor eax, eax
    cmp rcx, 16
    jb .Lguard_compare_bytes
    mov r9, rcx
    sub r9, 64
    jb .Lguard_compare_16s
    .p2align 4
.Lguard_compare_64:
    prefetcht0 [rdi + rax + 4096]
    prefetcht0 [rsi + rax + 4096]
    movdqu xmm0, [rdi + rax]
    movdqu xmm4, [rsi + rax]
    movdqu xmm1, [rdi + rax + 16]
    movdqu xmm5, [rsi + rax + 16]
    movdqu xmm2, [rdi + rax + 32]
    movdqu xmm6, [rsi + rax + 32]
    movdqu xmm3, [rdi + rax + 48]
    movdqu xmm7, [rsi + rax + 48]
    pcmpeqb xmm0, xmm4
    pcmpeqb xmm1, xmm5
    pcmpeqb xmm2, xmm6
    pcmpeqb xmm3, xmm7
    pand xmm0, xmm1
    pand xmm2, xmm3
    pand xmm0, xmm2
    pmovmskb r8d, xmm0
    cmp r8d, 0xffff
    jne .Lguard_compare_16s
    add rax, 64
    cmp rax, r9
    jbe .Lguard_compare_64
.Lguard_compare_16s:
    mov r9, rcx
    sub r9, 16
.Lguard_compare_16:
    cmp rax, r9
    ja .Lguard_compare_last_16
    movdqu xmm0, [rdi + rax]
    movdqu xmm4, [rsi + rax]
    pcmpeqb xmm0, xmm4
    pmovmskb r8d, xmm0
    xor r8d, 0xffff
    jnz .Lguard_compare_found
    add rax, 16
    jmp .Lguard_compare_16
.Lguard_compare_last_16:
    cmp rax, rcx
    je .Lguard_compare_end
    movdqu xmm0, [rdi + r9]
    movdqu xmm4, [rsi + r9]
    mov rax, rcx
    pcmpeqb xmm0, xmm4
    pmovmskb r8d, xmm0
    xor r8d, 0xffff
    jz .Lguard_compare_end
    mov rax, r9
.Lguard_compare_found:
    bsf r8d, r8d
    add rax, r8
.Lguard_compare_end:
    ret
.Lguard_compare_bytes:
    xor edx, edx
    cmp rax, rcx
    je .Lguard_compare_end
.Lguard_compare_byte:
    movzx r8d, byte ptr [rdi + rax]
    cmp r8b, [rsi + rax]
    jne .Lguard_compare_exit
    inc rax
    cmp rax, rcx
    jne .Lguard_compare_byte
.Lguard_compare_exit:
    ret
    FAULT .Lguard_compare_64, .Lguard_compare_bytes, .Lguard_compare_bytes
    FAULT .Lguard_compare_byte, .Lguard_compare_exit, .Lguard_compare_exit
    END compare

# find_byte(rdi = start, esi = byte, rdx = length) -> bytes before the first such byte: the length
# when there is none rax is the offset before which there is none, rcx the length.
    FUNCTION find_byte
    mov rcx, rdx
    xor edx, edx
    xor eax, eax
    cmp rcx, 16
    jb .Lguard_find_bytes
    movd xmm4, esi
    punpcklbw xmm4, xmm4
    pshuflw xmm4, xmm4, 0
    punpcklqdq xmm4, xmm4
    mov r9, rcx
    sub r9, 64
    jb .Lguard_find_16s
    .p2align 4
.Lguard_find_64:
    prefetcht0 [rdi + rax + 4096]
    movdqu xmm0, [rdi + rax]
    movdqu xmm1, [rdi + rax + 16]
    movdqu xmm2, [rdi + rax + 32]
    movdqu xmm3, [rdi + rax + 48]
    pcmpeqb xmm0, xmm4
    pcmpeqb xmm1, xmm4
    pcmpeqb xmm2, xmm4
    pcmpeqb xmm3, xmm4
    por xmm0, xmm1
    por xmm2, xmm3
    por xmm0, xmm2
    pmovmskb r8d, xmm0
    test r8d, r8d
    jnz .Lguard_find_16s
    add rax, 64
    cmp rax, r9
    jbe .Lguard_find_64
.Lguard_find_16s:
    mov r9, rcx
    sub r9, 16
.Lguard_find_16:
    cmp rax, r9
    ja .Lguard_find_last_16
    movdqu xmm0, [rdi + rax]
    pcmpeqb xmm0, xmm4
    pmovmskb r8d, xmm0
    test r8d, r8d
    jnz .Lguard_find_found
    add rax, 16
    jmp .Lguard_find_16
.Lguard_find_last_16:
    cmp rax, rcx
    je .Lguard_find_end
    movdqu xmm0, [rdi + r9]
    mov rax, rcx
    pcmpeqb xmm0, xmm4
    pmovmskb r8d, xmm0
    test r8d, r8d
    jz .Lguard_find_end
    mov rax, r9
.Lguard_find_found:
    bsf r8d, r8d
    add rax, r8
.Lguard_find_end:
    ret
.Lguard_find_bytes:
    xor edx, edx
    cmp rax, rcx
    je .Lguard_find_end
.Lguard_find_byte:
    cmp sil, [rdi + rax]
    je .Lguard_find_exit
    inc rax
    cmp rax, rcx
    jne .Lguard_find_byte
.Lguard_find_exit:
    ret
    FAULT .Lguard_find_64, .Lguard_find_bytes, .Lguard_find_bytes
    FAULT .Lguard_find_byte, .Lguard_find_exit, .Lguard_find_exit
    END find_byte
