//! What the ABI says a call preserves, preserved: after success and after a fault.
//!
//! # Safety
//!
//! This file calls the assembly by hand, with pointers into an arena.
#![allow(unsafe_code, reason = "see # Safety above")]

use std::arch::asm;

use bifolio_sys::guard::{FaultCode, Word};

use crate::arena::{Arena, Missing};

unsafe extern "C" {
    fn bifolio_sys_0_1_copy();
    fn bifolio_sys_0_1_fill();
    fn bifolio_sys_0_1_compare();
    fn bifolio_sys_0_1_find_byte();
    fn bifolio_sys_0_1_find_pair();
    fn bifolio_sys_0_1_load64();
    fn bifolio_sys_0_1_store64();
    fn bifolio_sys_0_1_swap64();
    fn bifolio_sys_0_1_fetch_add64();
    fn bifolio_sys_0_1_fetch_and64();
    fn bifolio_sys_0_1_fetch_or64();
    fn bifolio_sys_0_1_fetch_xor64();
    fn bifolio_sys_0_1_compare_exchange64();
}

/// Calls a guarded function with known values in every register that it must preserve; asserts that
/// they are still there, and returns the fault code.
fn call(function: unsafe extern "C" fn(), arguments: [usize; 3]) -> usize {
    let (damage, flags, fault): (u64, u64, usize);
    let [first, second, third] = arguments;
    // SAFETY: calls the function by the ABI: all that it may change is an output, rbx and rbp are
    // restored, and the stack is balanced. The arguments are those of the arena, as the tests
    // below pass them.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "movabs rbx, 0x1111111111111111",
            "movabs rbp, 0x2222222222222222",
            "movabs r12, 0x3333333333333333",
            "movabs r13, 0x4444444444444444",
            "movabs r14, 0x5555555555555555",
            "mov r15, rsp",
            "xor ecx, ecx",
            "call r11",
            "pushfq",
            "pop r8",
            "xor r15, rsp",
            "movabs r9, 0x1111111111111111",
            "xor rbx, r9",
            "movabs r9, 0x2222222222222222",
            "xor rbp, r9",
            "movabs r9, 0x3333333333333333",
            "xor r12, r9",
            "movabs r9, 0x4444444444444444",
            "xor r13, r9",
            "movabs r9, 0x5555555555555555",
            "xor r9, r14",
            "or r9, r15",
            "or r9, r13",
            "or r9, r12",
            "or r9, rbp",
            "or r9, rbx",
            "pop rbp",
            "pop rbx",
            inout("rdi") first => _,
            inout("rsi") second => _,
            inout("rdx") third => fault,
            inout("r11") function => _,
            out("r8") flags,
            out("r9") damage,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("C"),
        );
    }
    assert_eq!(damage, 0, "a preserved register changed");
    const DIRECTION: u64 = 1 << 10;
    assert_eq!(flags & DIRECTION, 0, "the direction flag is set");
    fault
}

#[test]
fn preserved_registers_survive_faults() {
    for missing in Missing::ALL {
        let source = Arena::without_last_page(3, missing);
        let target = Arena::without_last_page(3, missing);
        let boundary = 2 * source.page();
        for len in [1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 100, 300, 1024, 4096] {
            for over in [0, 1, len / 2, len] {
                let at = boundary - len + over;
                let (from, to) = (source.at(at).addr(), target.at(boundary - 4096).addr());
                let fails = over > 0;
                let faults = [
                    call(bifolio_sys_0_1_copy, [to, from, len]),
                    call(bifolio_sys_0_1_copy, [from, to, len]),
                    call(bifolio_sys_0_1_fill, [from, 0, len]),
                    call(bifolio_sys_0_1_compare, [from, to, len]),
                    call(bifolio_sys_0_1_find_byte, [from, 1, len]),
                    call(bifolio_sys_0_1_find_pair, [from, 1, len]),
                ];
                assert_eq!(faults.map(|fault| fault != 0), [fails; 6], "{missing:?} {len} {over}");
            }
        }
        let words = [
            bifolio_sys_0_1_load64,
            bifolio_sys_0_1_store64,
            bifolio_sys_0_1_swap64,
            bifolio_sys_0_1_fetch_add64,
            bifolio_sys_0_1_fetch_and64,
            bifolio_sys_0_1_fetch_or64,
            bifolio_sys_0_1_fetch_xor64,
            bifolio_sys_0_1_compare_exchange64,
        ];
        for function in words {
            assert_eq!(call(function, [source.at(0).addr(), 0, 0]), 0);
            assert_ne!(call(function, [source.at(boundary).addr(), 0, 0]), 0);
        }
        // SAFETY: a load.
        let code: FaultCode =
            unsafe { u64::load(source.at(boundary).cast()) }.expect_err("missing").code;
        assert_eq!(code.cause(), missing.cause());
    }
}
