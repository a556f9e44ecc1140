//! The steps that read: a mapping costs nothing, pages come on demand, and then reading is a load.

use super::Step;
use super::measure::{Faults, Memory, human_time, pages_of};
use super::subject::Subject;
use crate::bytes::{counted, grouped, human};
use crate::failure::Failure;
use bifolio::page::page_size;
use bifolio::{Access, Advice, FileMap, Mapping, Options, Pages, Residency};
use serde_json::json;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// How many pages are touched at most.
const PAGES_MAX: usize = 4096;

/// How many bytes are read here and there.
const READS: usize = 20_000;

/// The mapping itself: a time, and no memory.
pub(super) fn map(subject: &Subject) -> Result<Step, Failure> {
    let before = Memory::now();
    let start = Instant::now();
    let map = subject.map()?;
    let time = start.elapsed();
    let after = Memory::now();
    let pages = pages_of(map.len());
    let mut text = format!(
        "Opening and mapping {} took {}: {} of {} got addresses, and not one byte was read.",
        human(map.len() as u64),
        human_time(time),
        counted(pages as u64, "page"),
        human(page_size().bytes() as u64),
    );
    let grown = before.zip(after).map(|(before, after)| after.size.saturating_sub(before.size));
    if let Some(grown) = grown {
        text += &format!(" The address space grew by {}.", human(grown));
    }
    let facts = json!({
        "len_bytes": map.len(),
        "pages": pages,
        "page_bytes": page_size().bytes(),
        "nanoseconds": time.as_nanos() as u64,
        "addresses_grown_bytes": grown,
    });
    Ok(Step { text: vec![text], facts })
}

/// Touching pages: the faults, before and after; then again on a copy that was sent away.
pub(super) fn demand(subject: &Subject) -> Result<Step, Failure> {
    let map = subject.map()?;
    let pages = pages_of(map.len()).min(PAGES_MAX);
    let part = 0..(pages * page_size().bytes()).min(map.len());
    let before = resident(&map.residency(part.clone())?);
    let first = touch(&map, pages)?;
    let again = touch(&map, pages)?;
    let after = resident(&map.residency(part)?);
    let known = |pages: Option<u64>| pages.map_or_else(|| "an unknown number".to_owned(), grouped);
    let mut text = vec![format!(
        "Of the first {}, {} in memory before, brought in by whoever read the file. \
         Touching one byte of each took {} and raised {}{}. Touching them again raised {}. In \
         memory now: {}.",
        counted(pages as u64, "page"),
        match before {
            Some(1) => "1 was".to_owned(),
            _ => format!("{} were", known(before)),
        },
        human_time(first.time),
        first.show(),
        if first.minor().is_some_and(|minor| minor > 0 && minor * 2 <= pages as u64) {
            ", since each brings its neighbours along"
        } else {
            ""
        },
        again.show(),
        known(after),
    )];
    let evicted = evicted(subject)?;
    text.push(evicted.text);
    let facts = json!({
        "pages": pages,
        "resident_before": before,
        "resident_after": after,
        "first": first.json(),
        "again": again.json(),
        "evicted": evicted.facts,
    });
    Ok(Step { text, facts })
}

struct Evicted {
    text: String,
    facts: serde_json::Value,
}

/// Sends the pages of the copy away, and touches one: then it comes from the disk.
fn evicted(subject: &Subject) -> Result<Evicted, Failure> {
    let path = subject.copy_path();
    // Pages newer than the disk would have to stay.
    subject.copy.sync_data().map_err(|error| Failure::file(&path, error))?;
    let map = FileMap::from_file(subject.copy_read_only()?).map_err(|(_, error)| error)?;
    let pages = pages_of(map.len());
    touch(&map, pages)?;
    let sent = map.advise(0..map.len(), Advice::PageOut);
    let left = resident(&map.residency(0..map.len())?);
    let touched = touch(&map, 1)?;
    let then = resident(&map.residency(0..map.len())?);
    let facts = json!({
        "pages": pages,
        "advice_error": sent.as_ref().err().map(ToString::to_string),
        "left": left,
        "one_touched": touched.json(),
        "resident_then": then,
    });
    let text = match (sent, left, then) {
        (Err(error), _, _) => format!("Pages of a copy could not be sent away: {error}."),
        (Ok(()), Some(left), Some(then)) if left < pages as u64 => format!(
            "A copy of {} pages was sent away (MADV_PAGEOUT): {} were left. Touching one byte \
             raised {} and took {}; {} pages are in memory then, since the kernel reads ahead.",
            grouped(pages as u64),
            grouped(left),
            touched.show(),
            human_time(touched.time),
            grouped(then),
        ),
        (Ok(()), Some(_), _) => "The pages of a copy were told to go (MADV_PAGEOUT) and stayed: \
                                 the temporary directory is memory itself."
            .to_owned(),
        (Ok(()), None, _) => "The kernel does not tell which pages of a copy are in memory.".into(),
    };
    Ok(Evicted { text, facts })
}

fn resident(residency: &Residency) -> Option<u64> {
    match residency {
        Residency::Known(known) => Some(known.resident_pages),
        _ => None,
    }
}

/// What touching pages cost.
struct Touched {
    time: std::time::Duration,
    faults: Option<Faults>,
}

impl Touched {
    fn minor(&self) -> Option<u64> {
        self.faults.map(|faults| faults.minor)
    }

    fn show(&self) -> String {
        match self.faults {
            None => "faults that the kernel does not show".into(),
            Some(Faults { minor: 0, major: 0 }) => "no fault".into(),
            Some(Faults { minor, major: 0 }) => counted(minor, "fault"),
            Some(Faults { minor: 0, major }) => {
                format!("{} for which the disk was read", counted(major, "fault"))
            }
            Some(Faults { minor, major }) => {
                format!("{}, and {} for which the disk was read", counted(minor, "fault"), major)
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "nanoseconds": self.time.as_nanos() as u64,
            "minor_faults": self.faults.map(|faults| faults.minor),
            "major_faults": self.faults.map(|faults| faults.major),
        })
    }
}

/// Reads one byte of each of the first pages.
fn touch(map: &FileMap, pages: usize) -> Result<Touched, Failure> {
    // The first count has faults of its own.
    Faults::now();
    let before = Faults::now();
    let start = Instant::now();
    let view = map.view();
    for page in 0..pages {
        black_box(view.load::<u8>(page * page_size().bytes())?);
    }
    let time = start.elapsed();
    let faults = before.zip(Faults::now()).map(|(before, after)| after.since(before));
    Ok(Touched { time, faults })
}

/// Here and there in the file: by the mapping, and by a system call for each.
pub(super) fn random(subject: &Subject) -> Result<Step, Failure> {
    let map = subject.map()?;
    let len = map.len().min(PAGES_MAX * page_size().bytes());
    let width = len.min(8);
    let mut state = 1_u64;
    let mut places = Vec::with_capacity(READS);
    for _ in 0..READS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        places.push((state >> 33) as usize % (len - width + 1));
    }
    map.populate(0..len)?;
    let view = map.view();
    let start = Instant::now();
    let mut mapped = 0_u64;
    for &place in &places {
        let mut bytes = [0; 8];
        view.read_exact_at(&mut bytes[..width], place)?;
        mapped = mapped.wrapping_add(u64::from_le_bytes(bytes));
    }
    let mapped_time = start.elapsed();
    let failed = |error| Failure::file(&subject.path, error);
    let file = File::open(&subject.path).map_err(failed)?;
    let start = Instant::now();
    let mut called = 0_u64;
    for &place in &places {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes[..width], place as u64).map_err(failed)?;
        called = called.wrapping_add(u64::from_le_bytes(bytes));
    }
    let called_time = start.elapsed();
    let each = |time: std::time::Duration| time / READS as u32;
    let ratio = called_time.as_secs_f64() / mapped_time.as_secs_f64();
    let text = format!(
        "{} reads of {width} bytes here and there in the first {} took {} each by the mapping, \
         and {} each by a system call (pread): {ratio:.1} times as long. {}",
        grouped(READS as u64),
        human(len as u64),
        human_time(each(mapped_time)),
        human_time(each(called_time)),
        if mapped == called { "Both saw the same bytes." } else { "The file changed meanwhile." },
    );
    let facts = json!({
        "reads": READS,
        "read_bytes": width,
        "mapped_nanoseconds": mapped_time.as_nanos() as u64,
        "pread_nanoseconds": called_time.as_nanos() as u64,
        "same_bytes": mapped == called,
    });
    Ok(Step { text: vec![text], facts })
}

/// An offset within a page: the library maps from the page on and shows from the byte on.
pub(super) fn offset(subject: &Subject) -> Result<Step, Failure> {
    let len = subject.map()?.len();
    let page = page_size();
    let offset = if len > 2 * page.bytes() { page.bytes() + 904 } else { len / 2 };
    let map = Options::new().offset(offset as u64).open(&subject.path)?;
    let byte: u8 = map.load(0)?;
    let failed = |error| Failure::file(&subject.path, error);
    let mut read = [0];
    let file = File::open(&subject.path).map_err(failed)?;
    file.read_exact_at(&mut read, offset as u64).map_err(failed)?;
    let into_page = map.mapping().map(|mapping| mapping.as_ptr().addr() % page.bytes());
    let text = format!(
        "Byte {} of the file, {byte:#04x}, is byte 0 of a mapping that begins there, and {} by a \
         read. mmap takes only multiples of {}: the library maps from {} on, and the first byte \
         lies {} into its page.",
        grouped(offset as u64),
        if read[0] == byte { "the same" } else { "another by now" },
        human(page.bytes() as u64),
        grouped(page.round_down(offset) as u64),
        into_page
            .map_or_else(|| "an unknown way".to_owned(), |bytes| counted(bytes as u64, "byte")),
    );
    let facts = json!({
        "offset": offset,
        "mapped_from": page.round_down(offset),
        "into_page_bytes": into_page,
        "same_byte": read[0] == byte,
    });
    Ok(Step { text: vec![text], facts })
}
