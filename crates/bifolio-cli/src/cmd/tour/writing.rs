//! The steps that write: privately, for all, and where it is not permitted.

use super::Step;
use super::measure::pages_of;
use super::subject::Subject;
use super::witness::Witness;
use crate::bytes::{counted, grouped};
use crate::failure::Failure;
use bifolio::page::page_size;
use bifolio::{Access, AccessMut, PrivateMap, SharedMap};
use serde_json::json;
use std::os::unix::fs::FileExt;

/// What is written; shorter where the file is.
const TEXT: &[u8] = b"written through a mapping";

/// A private write into the user's own file: seen here, by nobody else.
pub(super) fn private(subject: &Subject) -> Result<Step, Failure> {
    let map = PrivateMap::open(&subject.path)?;
    let pages = pages_of(map.len());
    // Across the border of two pages, where there are two.
    let at = if pages > 1 { page_size().bytes() - TEXT.len() / 2 } else { 0 };
    let bytes = &TEXT[..TEXT.len().min(map.len() - at)];
    let mut old = vec![0; bytes.len()];
    map.read_exact_at(&mut old, at)?;
    map.write_all_at(bytes, at)?;
    let mut here = vec![0; bytes.len()];
    map.read_exact_at(&mut here, at)?;
    let mut witness = Witness::of(&subject.path)?;
    let there = witness.read(at, bytes.len())?;
    let copied = map.copied_ranges();
    let mut text = format!(
        "{:?} was written at byte {} of the file through a private mapping. Here one reads {:?}; \
         process {} reads {:?}, {}.",
        show(bytes),
        grouped(at as u64),
        show(&here),
        witness.pid(),
        show(&there),
        if there == old { "as before" } else { "which others changed meanwhile" },
    );
    text += &match &copied {
        Ok(ranges) => {
            let copied = ranges.iter().map(|range| pages_of(range.len())).sum::<usize>();
            let places: Vec<_> =
                ranges.iter().map(|range| format!("[{}..{})", range.start, range.end)).collect();
            format!(
                " The kernel copied {copied} of {} for it: {}.",
                counted(pages as u64, "page"),
                places.join(", "),
            )
        }
        Err(error) => format!(" Which pages were copied is unknown: {error}."),
    };
    if here != bytes || (there == bytes && old != bytes) {
        return Err(Failure::message("the private write was not private"));
    }
    let facts = json!({
        "offset": at,
        "len_bytes": bytes.len(),
        "pages": pages,
        "seen_here": here == bytes,
        "seen_by_others": there == bytes && old != bytes,
        "copied": copied.ok().map(|ranges| {
            ranges.iter().map(|range| [range.start, range.end]).collect::<Vec<_>>()
        }),
    });
    Ok(Step { text: vec![text], facts })
}

/// A shared write into the copy, seen by another process and by read; and the other way round.
pub(super) fn shared(subject: &Subject) -> Result<Step, Failure> {
    let path = subject.copy_path();
    let file = subject.copy.try_clone().map_err(|error| Failure::file(&path, error))?;
    let map = SharedMap::from_file(file)?;
    let (at, answer) = (page_size().bytes(), b"and answered");
    map.write_all_at(TEXT, at)?;
    let mut witness = Witness::of(&path)?;
    let there = witness.read(at, TEXT.len())?;
    let mut read = vec![0; TEXT.len()];
    subject
        .copy
        .read_exact_at(&mut read, at as u64)
        .map_err(|error| Failure::file(&path, error))?;
    let answer_at = at + TEXT.len();
    witness.write(answer_at, answer)?;
    let mut here = vec![0; answer.len()];
    map.read_exact_at(&mut here, answer_at)?;
    if there != TEXT || read != TEXT || here != answer {
        return Err(Failure::message("the shared write was not shared"));
    }
    let text = format!(
        "{:?} was written into a copy of the file through a shared mapping. Process {}, which \
         maps the same copy, reads {:?}; so does read(2). It wrote {:?} behind it, and here one \
         reads {:?}. Nobody called the kernel to send anything: it is one page, seen twice.",
        show(TEXT),
        witness.pid(),
        show(&there),
        show(answer),
        show(&here),
    );
    let facts = json!({
        "offset": at,
        "len_bytes": TEXT.len(),
        "seen_by_process": there == TEXT,
        "seen_by_read": read == TEXT,
        "seen_back": here == answer,
    });
    Ok(Step { text: vec![text], facts })
}

/// A write to what is mapped to be read: refused when it is asked for, not when it is done.
pub(super) fn refused(subject: &Subject) -> Result<Step, Failure> {
    let file = subject.copy_read_only()?;
    let answer = SharedMap::from_file(file);
    let error = match answer {
        Err(error) => error,
        Ok(_) => {
            return Err(Failure::message("a file that was opened to be read could be written"));
        }
    };
    let text = format!(
        "In C, writing to a read-only mapping is SIGSEGV. Here a read-only mapping has no function \
         that writes, so a program that tries does not compile; and a mapping to write of a file \
         that was opened to be read is an error: {:?}.",
        error.to_string(),
    );
    let facts = json!({
        "error": error.to_string(),
        "errno": error.errno().map(|errno| errno.raw_os_error()),
    });
    Ok(Step { text: vec![text], facts })
}

/// Bytes as a line of text.
fn show(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' })
        .collect()
}
