# The search for two bytes at a distance, on x86-64: a continuation of x86_64.s, whose macros and
# rules hold here too. It writes r10 and xmm5-xmm7 besides, which the ABI lets it.

    # Sixteen places from \at on: \hits is all ones in those that match.
    .macro PAIRS hits, other, at
    movdqu \hits, [rdi + rax + \at]
    movdqu \other, [r10 + rax + \at]
    pcmpeqb \hits, xmm4
    pcmpeqb \other, xmm5
    pand \hits, \other
    .endm

    # The byte in the low byte of \word, sixteen times.
    .macro SPREAD register, word
    movd \register, \word
    punpcklbw \register, \register
    pshuflw \register, \register, 0
    punpcklqdq \register, \register
    .endm

# find_pair(rdi = start, esi = first byte | second byte << 8, rdx = places, rcx = distance) ->
# places before the first match: all of them when there is none. rax is the place before which there
# is none, rcx the number of places, r10 where the second byte of place 0 lies.
    FUNCTION find_pair
    lea r10, [rdi + rcx]
    mov rcx, rdx
    xor edx, edx
    xor eax, eax
    cmp rcx, 16
    jb .Lguard_pair_bytes
    SPREAD xmm4, esi
    mov r8d, esi
    shr r8d, 8
    SPREAD xmm5, r8d
    mov r9, rcx
    sub r9, 64
    jb .Lguard_pair_16s
    .p2align 4
.Lguard_pair_64:
    prefetcht0 [rdi + rax + 4096]
    PAIRS xmm0, xmm6, 0
    PAIRS xmm1, xmm7, 16
    PAIRS xmm2, xmm6, 32
    PAIRS xmm3, xmm7, 48
    por xmm0, xmm1
    por xmm2, xmm3
    por xmm0, xmm2
    pmovmskb r8d, xmm0
    test r8d, r8d
    jnz .Lguard_pair_16s
    add rax, 64
    cmp rax, r9
    jbe .Lguard_pair_64
.Lguard_pair_16s:
    mov r9, rcx
    sub r9, 16
.Lguard_pair_16:
    cmp rax, r9
    ja .Lguard_pair_bytes
    PAIRS xmm0, xmm6, 0
    pmovmskb r8d, xmm0
    test r8d, r8d
    jnz .Lguard_pair_found
    add rax, 16
    jmp .Lguard_pair_16
.Lguard_pair_found:
    bsf r8d, r8d
    add rax, r8
.Lguard_pair_end:
    ret
.Lguard_pair_bytes:
    xor edx, edx
    cmp rax, rcx
    je .Lguard_pair_end
    mov r9d, esi
    shr r9d, 8
.Lguard_pair_byte:
    cmp sil, [rdi + rax]
    jne .Lguard_pair_next
    cmp r9b, [r10 + rax]
    je .Lguard_pair_exit
.Lguard_pair_next:
    inc rax
    cmp rax, rcx
    jne .Lguard_pair_byte
.Lguard_pair_exit:
    ret
    FAULT .Lguard_pair_64, .Lguard_pair_bytes, .Lguard_pair_bytes
    FAULT .Lguard_pair_byte, .Lguard_pair_exit, .Lguard_pair_exit
    END find_pair

