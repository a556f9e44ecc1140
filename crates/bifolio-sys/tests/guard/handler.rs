//! The least handler that the table needs: the contract of the table in 30 lines, independent of
//! the library's dispatcher.

use std::sync::Once;

unsafe extern "C" {
    #[link_name = "bifolio_sys_0_1_guard_table"]
    static TABLE: [i32; 3];
    #[link_name = "bifolio_sys_0_1_guard_table_end"]
    static TABLE_END: [i32; 3];
}

fn resume_at(pc: usize) -> Option<usize> {
    let (mut entry, end) = (&raw const TABLE, &raw const TABLE_END);
    while entry < end {
        // SAFETY: `entry` is one of the table's, which is initialised by the assembler.
        let [start, past, resume] = unsafe { entry.read() };
        let at = |distance: i32| entry.addr().wrapping_add_signed(distance as isize);
        if (at(start)..at(past)).contains(&pc) {
            return Some(at(resume));
        }
        entry = entry.wrapping_add(1);
    }
    None
}

extern "C" fn on_fault(signal: i32, info: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel passes a valid context, sigaction(2) with SA_SIGINFO.
    let registers = unsafe { &mut (*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let [pc, second] = {
        let [pc, second] = [libc::REG_RIP as usize, libc::REG_RDX as usize];
        registers.gregs.get_disjoint_mut([pc, second]).expect("two registers")
    };
    #[cfg(target_arch = "aarch64")]
    let [pc, second] = [&mut registers.pc, &mut registers.regs[1]];
    let Some(resume) = resume_at(*pc as usize) else {
        // SAFETY: ends the process; async-signal-safe.
        unsafe { libc::abort() };
    };
    // SAFETY: as for `context`.
    let si_code = unsafe { (*info).si_code };
    *pc = resume as _;
    *second = (signal | (si_code & 0xff) << 8) as _;
}

/// Installs the handler, once.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let handler: extern "C" fn(_, _, _) = on_fault;
            let action = libc::sigaction {
                sa_sigaction: handler as usize,
                sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK,
                // SAFETY: a set of signals is plain data, and all zeros is the empty one.
                sa_mask: unsafe { std::mem::zeroed() },
                sa_restorer: None,
            };
            // SAFETY: the handler is async-signal-safe: it reads constants, and writes the context.
            let result = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
            assert_eq!(result, 0);
        }
    });
}
