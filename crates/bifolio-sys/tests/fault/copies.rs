//! Two copies of the crate in one process, each with a dispatcher of its own: the program's, and
//! that of a library that is loaded at run time (`tests/second_copy`).
//!
//! # Safety
//!
//! Unsafe code loads the library and calls its functions by the types that they are declared with.
#![allow(unsafe_code, reason = "a library is loaded and called")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use bifolio_sys::fault;
use bifolio_sys::guard::Word;
use std::ffi::{CStr, CString, c_void};
use std::mem::transmute;
use std::path::PathBuf;

use crate::attack::{assert_guarded, closed_page, empty_file_page, overflow, plain_read};
use crate::{assert_dies, assert_survives};

/// Where cargo puts the library: beside the tests, if it builds all of the package's targets.
fn path() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().join("examples/libsecond_copy.so")
}

struct SecondCopy(*mut c_void);

impl SecondCopy {
    fn open() -> Self {
        let path = CString::new(path().into_os_string().into_encoded_bytes()).unwrap();
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{:?}", unsafe { CStr::from_ptr(libc::dlerror()) });
        SecondCopy(library)
    }

    fn symbol(&self, name: &CStr) -> *mut c_void {
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null());
        symbol
    }

    fn install(&self) {
        let install: extern "C" fn() -> bool =
            unsafe { transmute(self.symbol(c"second_copy_install")) };
        assert!(install());
    }

    fn assert_guarded(&self) {
        let load: unsafe extern "C" fn(*const u64) -> i32 =
            unsafe { transmute(self.symbol(c"second_copy_load")) };
        assert_eq!(unsafe { load(&raw const *Box::new(7)) }, 0);
        assert_eq!(unsafe { load(closed_page().cast()) }, libc::SIGSEGV);
        assert_eq!(unsafe { load(empty_file_page().cast()) }, libc::SIGBUS);
    }
}

/// Plays the scenario of this name in a child; `false` if there is none.
pub(crate) fn play(scenario: &str) -> bool {
    let Some(scenario) = scenario.strip_prefix("copies, ") else { return false };
    let (order, then) = scenario.split_once(", ").unwrap();
    let second = SecondCopy::open();
    match order {
        "ours first" => {
            fault::install().unwrap();
            second.install();
        }
        _ => {
            second.install();
            fault::install().unwrap();
        }
    }
    assert_guarded();
    second.assert_guarded();
    assert!(unsafe { u64::load(closed_page().cast()) }.is_err());
    match then {
        "both used" => {}
        "a foreign fault" => drop(plain_read(closed_page())),
        "an overflow" => drop(overflow(0)),
        other => panic!("no scenario {other}"),
    }
    true
}

#[test]
fn two_copies_of_the_crate_serve_each_its_own() {
    if !path().exists() {
        return println!("skipped: no library: `cargo build --examples` makes it");
    }
    for order in ["ours first", "ours last"] {
        assert_survives(&format!("copies, {order}, both used"));
        assert_dies(&format!("copies, {order}, a foreign fault"), libc::SIGSEGV);
        let output = assert_dies(&format!("copies, {order}, an overflow"), libc::SIGABRT);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("has overflowed its stack"), "{text}");
    }
}
