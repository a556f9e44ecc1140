//! Code that is written and then called.

use super::{call, fork, page, write_raw};
use bifolio_map::{AnonMap, ExecMap, Mapping, Options, Protection};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ExecMap>();
};

/// A function that returns `number`.
fn code(number: u16) -> Vec<u8> {
    if cfg!(target_arch = "x86_64") {
        // mov eax, number; ret
        [&[0xb8][..], &u32::from(number).to_le_bytes(), &[0xc3]].concat()
    } else {
        // mov w0, #number; ret
        let mov = 0x5280_0000_u32 | u32::from(number) << 5;
        [mov.to_le_bytes(), 0xd65f_03c0_u32.to_le_bytes()].concat()
    }
}

#[test]
fn what_was_written_is_executed() {
    let mut map = Options::new().guard_pages(1, 1).anon(3 * page()).unwrap();
    // Written over and over at the same address: a stale instruction would answer the number
    // before.
    for number in 1..200 {
        let code = code(number);
        for at in [0, page() - 4, 3 * page() - code.len()] {
            map[at..at + code.len()].copy_from_slice(&code);
            let exec = map.into_exec().unwrap();
            assert_eq!(exec.protection(), Protection::ReadExec);
            assert_eq!(exec[at..at + code.len()], code);
            assert_eq!(call(&exec, at), number.into());
            map = exec.into_mut().unwrap();
        }
    }
}

#[test]
fn what_can_be_executed_cannot_be_written_nor_the_reverse() {
    let mut map = AnonMap::new(page()).unwrap();
    map[..code(42).len()].copy_from_slice(&code(42));
    let address = map.as_ptr().addr();
    assert!(!fork(|| super::call_raw(address) == 42), "writable memory was executed");
    let exec = map.into_exec().unwrap();
    assert!(fork(|| super::call_raw(address) == 42));
    assert!(!fork(|| {
        write_raw(address);
        true
    }));
    drop(exec);
}

#[test]
#[should_panic(expected = "of 4096 bytes")]
fn a_function_outside_is_refused() {
    let map = Options::new().anon(4096).unwrap().into_exec().unwrap();
    call(&map, 4096);
}
