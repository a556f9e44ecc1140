// Guarded memory access for AArch64 (AAPCS64, baseline ARMv8.0). The contract is written in mod.rs;
// what holds here:
//
// 1. A fault between the two labels of a FAULT line resumes at its third label, with every register
//    as the faulting instruction left it, except x1, which then holds the nonzero fault code. So x1
//    holds nothing else while memory is touched: it is zero from the entry of a function to its
//    end, unless a fault put its code there.
// 2. A function returns x0 = value, x1 = 0 or the fault code. Only x0-x7, v0-v7 and the flags are
//    written; no stack is used, and no base register is written back by an access.
// 3. At each instruction that can fault the byte-by-byte code below it can take over with the
//    registers as they are.
// 4. Stores go from low to high addresses, and no byte is stored whose source was not loaded.
//
// The prefetch distances are those measured on x86-64.

    .macro FUNCTION name
    .p2align 5
    .globl bifolio_sys_0_1_\name
    .hidden bifolio_sys_0_1_\name
    .type bifolio_sys_0_1_\name, %function
bifolio_sys_0_1_\name:
    .cfi_startproc
    .endm

    .macro END name
    .cfi_endproc
    .size bifolio_sys_0_1_\name, . - bifolio_sys_0_1_\name
    .endm

    // One entry of the table: three distances from the entry's own address, so that nothing is
    // relocated when the program starts.
    .macro FAULT start, end, resume
    .pushsection .rodata.bifolio_sys_0_1_guard, "a", %progbits
    .long \start - .
    .long \end - . + 4
    .long \resume - . + 8
    .popsection
    .endm

    // A boundary symbol of the text or of the table.
    .macro SYMBOL name
    .globl bifolio_sys_0_1_guard_\name
    .hidden bifolio_sys_0_1_guard_\name
bifolio_sys_0_1_guard_\name:
    .endm

    .section .rodata.bifolio_sys_0_1_guard, "a", %progbits
    .p2align 2
    SYMBOL table

    .section .text.bifolio_sys_0_1_guard, "ax", %progbits
    .p2align 6
    SYMBOL text_start

// copy(x0 = destination, x1 = source, x2 = length) -> bytes copied From the first access on x0, x3
// (source) and x2 describe what is left to copy, and x4 is the whole length.
    FUNCTION copy
    mov x3, x1
    mov x4, x2
    mov x1, xzr
    add x5, x3, x2
    add x6, x0, x2
    cmp x2, #64
    b.hi .Lguard_copy_64
    cmp x2, #32
    b.hi .Lguard_copy_above_32
    cmp x2, #16
    b.lo .Lguard_copy_below_16
.Lguard_copy_wide:
    ldr q0, [x3]
    ldr q1, [x5, #-16]
    str q0, [x0]
    str q1, [x6, #-16]
    mov x0, x4
    ret
.Lguard_copy_below_16:
    tbz x2, #3, .Lguard_copy_below_8
    ldr x7, [x3]
    ldr x5, [x5, #-8]
    str x7, [x0]
    str x5, [x6, #-8]
    mov x0, x4
    ret
.Lguard_copy_below_8:
    tbz x2, #2, .Lguard_copy_bytes
    ldr w7, [x3]
    ldr w5, [x5, #-4]
    str w7, [x0]
    str w5, [x6, #-4]
    mov x0, x4
    ret
.Lguard_copy_above_32:
    ldp q0, q1, [x3]
    ldp q2, q3, [x5, #-32]
    stp q0, q1, [x0]
    stp q2, q3, [x6, #-32]
    mov x0, x4
    ret
.Lguard_copy_64:
    ldp q0, q1, [x3]
    ldp q2, q3, [x3, #32]
    stp q0, q1, [x0]
    stp q2, q3, [x0, #32]
    add x3, x3, #64
    add x0, x0, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hi .Lguard_copy_64
.Lguard_copy_last_64:
    // 1 to 64 bytes are left, and at least 64 were done: the last 64 bytes overlap those. x5 and x6
    // are the ends.
    ldp q0, q1, [x5, #-64]
    ldp q2, q3, [x5, #-32]
    stp q0, q1, [x6, #-64]
    stp q2, q3, [x6, #-32]
    mov x0, x4
    ret
.Lguard_copy_bytes:
    // The shortest copies, and what a fault left.
    mov x1, xzr
    cbz x2, .Lguard_copy_exit
.Lguard_copy_byte:
    ldrb w5, [x3]
    strb w5, [x0]
    add x3, x3, #1
    add x0, x0, #1
    subs x2, x2, #1
    b.ne .Lguard_copy_byte
.Lguard_copy_exit:
    sub x0, x4, x2
    ret
    FAULT .Lguard_copy_wide, .Lguard_copy_bytes, .Lguard_copy_bytes
    FAULT .Lguard_copy_byte, .Lguard_copy_exit, .Lguard_copy_exit
    END copy

// copy_streaming(x0, x1, x2): copy, for a caller that goes on with what follows the source: asks
// for that ahead. A prefetch does not fault.
    FUNCTION copy_streaming
    cmp x2, #64
    b.ls bifolio_sys_0_1_copy
    mov x3, x1
    mov x4, x2
    mov x1, xzr
    add x5, x3, x2
    add x6, x0, x2
.Lguard_copy_streaming_64:
    prfm pldl1keep, [x3, #8192]
    ldp q0, q1, [x3]
    ldp q2, q3, [x3, #32]
    stp q0, q1, [x0]
    stp q2, q3, [x0, #32]
    add x3, x3, #64
    add x0, x0, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hi .Lguard_copy_streaming_64
    prfm pldl1keep, [x3, #8192]
    b .Lguard_copy_last_64
.Lguard_copy_streaming_end:
    FAULT .Lguard_copy_streaming_64, .Lguard_copy_streaming_end, .Lguard_copy_bytes
    END copy_streaming

// fill(x0 = destination, w1 = byte, x2 = length) -> bytes written From the first access on x0 and
// x2 describe what is left to fill, x4 is the whole length, w3 the byte, v0 the byte 16 times.
    FUNCTION fill
    mov w3, w1
    mov x4, x2
    dup v0.16b, w1
    mov x1, xzr
    cmp x2, #16
    b.lo .Lguard_fill_bytes
    cmp x2, #64
    b.ls .Lguard_fill_last_64
.Lguard_fill_64:
    stp q0, q0, [x0]
    stp q0, q0, [x0, #32]
    add x0, x0, #64
    sub x2, x2, #64
    cmp x2, #64
    b.hi .Lguard_fill_64
.Lguard_fill_last_64:
    // 1 to 64 bytes are left; at least 16 in all.
    cmp x2, #16
    b.ls .Lguard_fill_last_16
    str q0, [x0]
    add x0, x0, #16
    sub x2, x2, #16
    b .Lguard_fill_last_64
.Lguard_fill_last_16:
    add x5, x0, x2
    str q0, [x5, #-16]
    mov x0, x4
    ret
.Lguard_fill_bytes:
    mov x1, xzr
    cbz x2, .Lguard_fill_exit
.Lguard_fill_byte:
    strb w3, [x0]
    add x0, x0, #1
    subs x2, x2, #1
    b.ne .Lguard_fill_byte
.Lguard_fill_exit:
    sub x0, x4, x2
    ret
    FAULT .Lguard_fill_64, .Lguard_fill_bytes, .Lguard_fill_bytes
    FAULT .Lguard_fill_byte, .Lguard_fill_exit, .Lguard_fill_exit
    END fill

// compare(x0, x1, x2 = length) -> bytes that are equal: the length, or the offset of the first
// difference x0, x3 and x2 describe what is not compared yet, and x4 is the whole length.
    FUNCTION compare
    mov x3, x1
    mov x4, x2
    mov x1, xzr
.Lguard_compare_64s:
    cmp x2, #64
    b.lo .Lguard_compare_8s
    prfm pldl1keep, [x0, #4096]
    prfm pldl1keep, [x3, #4096]
    ldp q0, q1, [x0]
    ldp q2, q3, [x0, #32]
    ldp q4, q5, [x3]
    ldp q6, q7, [x3, #32]
    cmeq v0.16b, v0.16b, v4.16b
    cmeq v1.16b, v1.16b, v5.16b
    cmeq v2.16b, v2.16b, v6.16b
    cmeq v3.16b, v3.16b, v7.16b
    and v0.16b, v0.16b, v1.16b
    and v2.16b, v2.16b, v3.16b
    and v0.16b, v0.16b, v2.16b
    uminv b0, v0.16b
    umov w5, v0.b[0]
    cbz w5, .Lguard_compare_8s
    add x0, x0, #64
    add x3, x3, #64
    sub x2, x2, #64
    b .Lguard_compare_64s
.Lguard_compare_8s:
    cmp x2, #8
    b.lo .Lguard_compare_bytes
    ldr x5, [x0]
    ldr x6, [x3]
    cmp x5, x6
    b.ne .Lguard_compare_bytes
    add x0, x0, #8
    add x3, x3, #8
    sub x2, x2, #8
    b .Lguard_compare_8s
.Lguard_compare_bytes:
    mov x1, xzr
    cbz x2, .Lguard_compare_exit
.Lguard_compare_byte:
    ldrb w5, [x0]
    ldrb w6, [x3]
    cmp w5, w6
    b.ne .Lguard_compare_exit
    add x0, x0, #1
    add x3, x3, #1
    subs x2, x2, #1
    b.ne .Lguard_compare_byte
.Lguard_compare_exit:
    sub x0, x4, x2
    ret
    FAULT .Lguard_compare_64s, .Lguard_compare_bytes, .Lguard_compare_bytes
    FAULT .Lguard_compare_byte, .Lguard_compare_exit, .Lguard_compare_exit
    END compare

// find_byte(x0 = start, w1 = byte, x2 = length) -> bytes before the first such byte: the length
// when there is none x0 and x2 describe what is not searched yet, x4 is the whole length, w3 the
// byte, v4 the byte 16 times.
    FUNCTION find_byte
    and w3, w1, #0xff
    mov x4, x2
    dup v4.16b, w1
    mov x1, xzr
.Lguard_find_64s:
    cmp x2, #64
    b.lo .Lguard_find_8s
    prfm pldl1keep, [x0, #4096]
    ldp q0, q1, [x0]
    ldp q2, q3, [x0, #32]
    cmeq v0.16b, v0.16b, v4.16b
    cmeq v1.16b, v1.16b, v4.16b
    cmeq v2.16b, v2.16b, v4.16b
    cmeq v3.16b, v3.16b, v4.16b
    orr v0.16b, v0.16b, v1.16b
    orr v2.16b, v2.16b, v3.16b
    orr v0.16b, v0.16b, v2.16b
    umaxv b0, v0.16b
    umov w5, v0.b[0]
    cbnz w5, .Lguard_find_8s
    add x0, x0, #64
    sub x2, x2, #64
    b .Lguard_find_64s
.Lguard_find_8s:
    cmp x2, #8
    b.lo .Lguard_find_bytes
    ldr d0, [x0]
    cmeq v0.8b, v0.8b, v4.8b
    fmov x5, d0
    cbnz x5, .Lguard_find_bytes
    add x0, x0, #8
    sub x2, x2, #8
    b .Lguard_find_8s
.Lguard_find_bytes:
    mov x1, xzr
    cbz x2, .Lguard_find_exit
.Lguard_find_byte:
    ldrb w5, [x0]
    cmp w5, w3
    b.eq .Lguard_find_exit
    add x0, x0, #1
    subs x2, x2, #1
    b.ne .Lguard_find_byte
.Lguard_find_exit:
    sub x0, x4, x2
    ret
    FAULT .Lguard_find_64s, .Lguard_find_bytes, .Lguard_find_bytes
    FAULT .Lguard_find_byte, .Lguard_find_exit, .Lguard_find_exit
    END find_byte

// find_pair(x0 = start, w1 = first byte | second byte << 8, x2 = places, x3 = distance) -> places
// before the first match: all of them when there is none. x0, x6 and x2 describe what is not
// searched yet, x4 is the number of places, w7 the first byte, w3 the second, v4 and v5 16 of each.
    FUNCTION find_pair
    add x6, x0, x3
    and w7, w1, #0xff
    ubfx w3, w1, #8, #8
    mov x4, x2
    dup v4.16b, w7
    dup v5.16b, w3
    mov x1, xzr
.Lguard_pair_16s:
    cmp x2, #16
    b.lo .Lguard_pair_bytes
    prfm pldl1keep, [x0, #4096]
    ldr q0, [x0]
    ldr q1, [x6]
    cmeq v0.16b, v0.16b, v4.16b
    cmeq v1.16b, v1.16b, v5.16b
    and v0.16b, v0.16b, v1.16b
    umaxv b0, v0.16b
    umov w5, v0.b[0]
    cbnz w5, .Lguard_pair_bytes
    add x0, x0, #16
    add x6, x6, #16
    sub x2, x2, #16
    b .Lguard_pair_16s
.Lguard_pair_bytes:
    mov x1, xzr
    cbz x2, .Lguard_pair_exit
.Lguard_pair_byte:
    ldrb w5, [x0]
    cmp w5, w7
    b.ne .Lguard_pair_next
    ldrb w5, [x6]
    cmp w5, w3
    b.eq .Lguard_pair_exit
.Lguard_pair_next:
    add x0, x0, #1
    add x6, x6, #1
    subs x2, x2, #1
    b.ne .Lguard_pair_byte
.Lguard_pair_exit:
    sub x0, x4, x2
    ret
    FAULT .Lguard_pair_16s, .Lguard_pair_bytes, .Lguard_pair_bytes
    FAULT .Lguard_pair_byte, .Lguard_pair_exit, .Lguard_pair_exit
    END find_pair

// The operations on one word. Each guards from its first access to its exit, where a fault resumes.
    .macro GUARDED name
    FAULT .Lguard_\name\()_access, .Lguard_\name\()_exit, .Lguard_\name\()_exit
    END \name
    .endm

    // w4 or x4 is the word before, and \new, computed from it and from the operand w2 or x2 by
    // \compute, the one after.
    .macro EXCHANGE name, bits, size, r, new, compute:vararg
    FUNCTION \name\bits
    mov x2, x1
    mov x1, xzr
.Lguard_\name\bits\()_access:
    ldaxr\size \r\()4, [x0]
    \compute
    stlxr\size w6, \new, [x0]
    cbnz w6, .Lguard_\name\bits\()_access
.Lguard_\name\bits\()_exit:
    mov x0, x4
    ret
    GUARDED \name\bits
    .endm

    // size: the suffix of the instructions; r: w or x; extend: how the expected word is widened to
    // a register.
    .macro WORD bits, r, size, extend
    // load(x0) -> the word
    FUNCTION load\bits
    mov x1, xzr
.Lguard_load\bits\()_access:
    ldar\size \r\()0, [x0]
.Lguard_load\bits\()_exit:
    ret
    GUARDED load\bits

    // store(x0, x1)
    FUNCTION store\bits
    mov x2, x1
    mov x1, xzr
.Lguard_store\bits\()_access:
    stlr\size \r\()2, [x0]
.Lguard_store\bits\()_exit:
    ret
    GUARDED store\bits

    // swap(x0, x1), fetch_*(x0, x1) -> the word before
    EXCHANGE swap, \bits, \size, \r, \r\()2
    EXCHANGE fetch_add, \bits, \size, \r, \r\()5, add \r\()5, \r\()4, \r\()2
    EXCHANGE fetch_and, \bits, \size, \r, \r\()5, and \r\()5, \r\()4, \r\()2
    EXCHANGE fetch_or, \bits, \size, \r, \r\()5, orr \r\()5, \r\()4, \r\()2
    EXCHANGE fetch_xor, \bits, \size, \r, \r\()5, eor \r\()5, \r\()4, \r\()2

    // compare_exchange(x0, x1 = expected, x2 = new) -> the word before; it was replaced if it
    // equals the expected one.
    FUNCTION compare_exchange\bits
    \extend \r\()3, \r\()1
    mov x1, xzr
.Lguard_compare_exchange\bits\()_access:
    ldaxr\size \r\()4, [x0]
    cmp \r\()4, \r\()3
    b.ne .Lguard_compare_exchange\bits\()_exit
    stlxr\size w6, \r\()2, [x0]
    cbnz w6, .Lguard_compare_exchange\bits\()_access
.Lguard_compare_exchange\bits\()_exit:
    mov x0, x4
    ret
    GUARDED compare_exchange\bits
    .endm

    WORD 8, w, b, uxtb
    WORD 16, w, h, uxth
    WORD 32, w, , mov
    WORD 64, x, , mov

    SYMBOL text_end

    .section .rodata.bifolio_sys_0_1_guard, "a", %progbits
    SYMBOL table_end

    .section .note.GNU-stack, "", %progbits
    .text
