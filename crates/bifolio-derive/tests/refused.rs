//! What `#[derive(Shared)]` refuses, and with which words: the compiler is run on each case.
//!
//! The trait is compiled in from its own source, so that nothing has to be built but the macro.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A declaration, and what the compiler must say of it; nothing where it must be taken.
const CASES: &[(&str, &[&str])] = &[
    ("#[repr(C)] struct Taken { a: u64, b: [u8; 8] }", &[]),
    ("#[repr(u8)] enum Taken { A = 3, B = 0 }", &[]),
    ("struct Loose { a: u32 }", &["`Loose` cannot be shared: its layout is not fixed", "repr(C)"]),
    ("#[repr(align(8))] struct Loose { a: u64 }", &["`Loose`", "layout is not fixed"]),
    ("enum Loose { A, B }", &["`Loose` cannot be shared: its layout is not fixed", "repr(u32)"]),
    ("#[repr(C)] enum Loose { A, B }", &["`Loose`", "layout is not fixed"]),
    ("#[repr(C)] union Either { a: u32, b: f32 }", &["`Either`", "union"]),
    ("#[repr(u8)] enum Full { A, B(u8) }", &["`Full`", "its variant `B` has fields"]),
    (
        "#[repr(u8)] enum OneUp { A = 1, B }",
        &["`OneUp` cannot be shared: none of its variants is 0"],
    ),
    ("#[repr(C)] struct Gap { a: u8, b: u32 }", &["`Gap` cannot be shared: it has padding"]),
    ("#[repr(C)] struct Tail { a: u32, b: u8 }", &["`Tail` cannot be shared: it has padding"]),
    ("#[repr(C, align(16))] struct Wide { a: u64 }", &["`Wide` cannot be shared: it has padding"]),
    ("#[repr(C)] struct Life<'a> { a: &'a u32 }", &["`Life`", "`'a`", "one process only"]),
    ("#[repr(C)] struct Far { a: &'static u32 }", &["`&'static u32` cannot lie in memory"]),
    ("#[repr(C)] struct Raw { a: *const u8 }", &["`*const u8` cannot lie in memory"]),
    ("#[repr(C)] struct Call { a: fn() }", &["`fn()` cannot lie in memory that processes share"]),
    ("#[repr(C)] struct Heap { a: Box<u32> }", &["`Box<u32>` cannot lie in memory"]),
    ("#[repr(C)] struct Text { a: String }", &["`String` cannot lie in memory", "derive(Shared)"]),
    ("#[repr(C)] struct Never { a: core::num::NonZeroU32 }", &["cannot lie in memory"]),
    ("#[repr(C)] struct Local { a: core::cell::Cell<u32> }", &["cannot lie in memory"]),
    (
        "#[repr(C)] struct Ends { a: u32 } impl Drop for Ends { fn drop(&mut self) {} }",
        &["`Ends` cannot be shared: it has drop glue"],
    ),
    ("#[repr(C)] struct Any<T> { a: T } const _: () = shared::<Any<String>>();", &["`String`"]),
    (
        "#[repr(C)] struct Any<T> { a: T, b: u8 } const _: () = shared::<Any<u32>>();",
        &["`Any` cannot be shared: it has padding"],
    ),
    ("#[shared(path = \"x\")] #[repr(C)] struct Odd { a: u8 }", &["only `crate = \"path\"`"]),
];

#[test]
fn each_refusal_names_the_type_and_the_reason() {
    let Some(library) = library() else {
        println!("skipped: the macro was not built beside this test");
        return;
    };
    let failures: Vec<String> =
        CASES.iter().filter_map(|(item, words)| wrong(&library, item, words)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The newest library of the macro, which cargo has built for this test.
fn library() -> Option<PathBuf> {
    let directory = std::env::current_exe().ok()?;
    let files = directory.parent()?.read_dir().ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libbifolio_derive-") && name.ends_with(".so")
    };
    files.filter(named).max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
}

/// What is wrong with what the compiler says of a case.
fn wrong(library: &Path, item: &str, words: &[&str]) -> Option<String> {
    let trait_file = concat!(env!("CARGO_MANIFEST_DIR"), "/../bifolio-sync/src/shared.rs");
    let source = format!(
        "#![allow(dead_code)]
         mod share {{
             #[path = {trait_file:?}] mod trait_file;
             pub use trait_file::{{Fingerprint, Shared}};
         }}
         const fn shared<T: share::Shared>() {{ let _ = T::FINGERPRINT; }}
         #[derive(bifolio_derive::Shared)] #[shared(crate = \"share\")] {item}"
    );
    let (taken, said) = compile(library, &source);
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    let right = taken == words.is_empty() && missing.is_empty();
    (!right).then(|| format!("{item}\ntaken: {taken}, without {missing:?}:\n{said}"))
}

/// Whether the compiler takes it, and what it says.
fn compile(library: &Path, source: &str) -> (bool, String) {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "-"]);
    command.args(["--out-dir", env!("CARGO_TARGET_TMPDIR")]);
    command.arg("--extern").arg(format!("bifolio_derive={}", library.display()));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("rustc, which built this test");
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
