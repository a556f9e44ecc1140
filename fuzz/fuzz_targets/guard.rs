//! Guarded access against a copy byte by byte, over pages of which any may be missing.
//!
//! Run it with cargo-fuzz and without a sanitizer, whose handlers of SIGSEGV would be in the way:
//! `cargo fuzz run --sanitizer none guard`. It needs no nightly features of its own.
//!
//! # Safety
//!
//! The target maps two arenas, protects their pages, and calls the guarded functions on them.
#![allow(unsafe_code, reason = "see # Safety above")]
#![no_main]

use std::ptr;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bifolio_sys::guard::{self, Fault};
use libfuzzer_sys::fuzz_target;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

const PAGES: usize = 4;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Copy,
    CopyStreaming,
    Fill,
    Compare,
    Find,
}

#[derive(Arbitrary, Debug)]
struct Call {
    operation: Operation,
    from: u16,
    to: u16,
    len: u16,
    byte: u8,
}

#[derive(Arbitrary, Debug)]
struct Input {
    /// Which pages of the two arenas are missing.
    missing: [[bool; PAGES]; 2],
    /// A byte that differs between arenas that are otherwise equal.
    spot: u16,
    calls: Vec<Call>,
}

/// Pages whose contents are mirrored in `model`.
struct Arena {
    start: usize,
    model: Vec<u8>,
    missing: [bool; PAGES],
    page: usize,
}

fn map(page: usize) -> usize {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let map = unsafe {
        rustix::mm::mmap_anonymous(ptr::null_mut(), PAGES * page, protection, MapFlags::PRIVATE)
    };
    map.expect("mmap").expose_provenance()
}

impl Arena {
    fn new(start: usize, page: usize) -> Self {
        let mut arena =
            Self { start, model: vec![0x55; PAGES * page], missing: [false; PAGES], page };
        arena.protect([false; PAGES]);
        // SAFETY: the whole arena, which nothing refers to.
        unsafe { guard::fill(arena.at(0), 0x55, PAGES * page) }.expect("all is there");
        arena
    }

    fn at(&self, offset: usize) -> *mut u8 {
        ptr::with_exposed_provenance_mut(self.start + offset)
    }

    fn protect(&mut self, missing: [bool; PAGES]) {
        self.missing = missing;
        let all = MprotectFlags::READ | MprotectFlags::WRITE;
        for (index, &missing) in missing.iter().enumerate() {
            let protection = if missing { MprotectFlags::empty() } else { all };
            let start = self.at(index * self.page).cast();
            // SAFETY: a page of the arena, which nothing refers to.
            unsafe { rustix::mm::mprotect(start, self.page, protection) }.expect("mprotect");
        }
    }

    /// Bytes from `offset` on that are there, `len` at most.
    fn present(&self, offset: usize, len: usize) -> usize {
        (offset..offset + len).take_while(|at| !self.missing[at / self.page]).count()
    }
}

fn check<T: PartialEq + std::fmt::Debug>(result: Result<T, Fault>, expected: Result<T, usize>) {
    assert_eq!(result.map_err(|fault| fault.done), expected);
}

fn run(call: &Call, a: &mut Arena, b: &mut Arena) {
    let size = a.model.len();
    let (from, to) = (usize::from(call.from) % size, usize::from(call.to) % size);
    let len = usize::from(call.len) % (size - from.max(to) + 1);
    let readable = a.present(from, len);
    let both = readable.min(b.present(to, len));
    let written = |done| if done == len { Ok(()) } else { Err(done) };
    let sought = |found: Option<usize>, end| {
        if end == len || found.is_some() { Ok(found) } else { Err(end) }
    };
    match call.operation {
        Operation::Copy | Operation::CopyStreaming => {
            let result = if matches!(call.operation, Operation::Copy) {
                // SAFETY: `len` bytes of the arenas, which nothing refers to, here and below.
                unsafe { guard::copy(b.at(to), a.at(from), len) }
            } else {
                // SAFETY: as above.
                unsafe { guard::copy_streaming(b.at(to), a.at(from), len) }
            };
            check(result, written(both));
            b.model[to..to + both].copy_from_slice(&a.model[from..from + both]);
        }
        Operation::Fill => {
            let done = b.present(to, len);
            // SAFETY: as above.
            check(unsafe { guard::fill(b.at(to), call.byte, len) }, written(done));
            b.model[to..to + done].fill(call.byte);
        }
        Operation::Compare => {
            let pairs = a.model[from..from + both].iter().zip(&b.model[to..to + both]);
            let differs = pairs.into_iter().position(|(left, right)| left != right);
            // SAFETY: as above.
            let result = unsafe { guard::compare(a.at(from), b.at(to), len) };
            check(result, sought(differs, both));
        }
        Operation::Find => {
            let found = a.model[from..from + readable].iter().position(|&byte| byte == call.byte);
            // SAFETY: as above.
            let result = unsafe { guard::find_byte(a.at(from), call.byte, len) };
            check(result, sought(found, readable));
        }
    }
}

/// What lies in the arena is what the model says, in missing pages too.
fn check_contents(arena: &mut Arena) {
    arena.protect([false; PAGES]);
    let (actual, model) = (arena.at(0), arena.model.as_ptr());
    // SAFETY: it only reads.
    let result = unsafe { guard::compare(actual, model, arena.model.len()) };
    assert_eq!(result, Ok(None));
}

fuzz_target!(|input: Input| {
    static MAPS: LazyLock<(usize, [usize; 2])> = LazyLock::new(|| {
        bifolio_sys::fault::install().expect("sigaction");
        let page = rustix::param::page_size();
        (page, [map(page), map(page)])
    });
    let (page, [a, b]) = *MAPS;
    let (mut a, mut b) = (Arena::new(a, page), Arena::new(b, page));
    let spot = usize::from(input.spot) % a.model.len();
    a.model[spot] = 0xaa;
    // SAFETY: one byte of the arena, which nothing refers to.
    unsafe { guard::fill(a.at(spot), 0xaa, 1) }.expect("all is there");
    a.protect(input.missing[0]);
    b.protect(input.missing[1]);
    for call in &input.calls {
        run(call, &mut a, &mut b);
    }
    check_contents(&mut a);
    check_contents(&mut b);
});
