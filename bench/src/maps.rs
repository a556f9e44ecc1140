//! Looking at a process with many mappings: by the library, and by reading the kernel's text.
//!
//! The process is this program run again: it maps, says so, and waits.

use crate::cases::{Case, Scale};
use crate::pair::{Bar, Outcome, compare};
use bifolio::memory::{Detail, maps_with};
use bifolio::{AnonMap, Options, page::page_size};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[Case { name: "maps", run: maps }];

/// The variable that makes this program such a process, with so many mappings.
const SUBJECT: &str = "BIFOLIO_BENCH_MAPPINGS";

/// Plays the process that is looked at, if this is it: returns when its input ends.
pub fn play() -> bool {
    let Some(count) = std::env::var(SUBJECT).ok().and_then(|text| text.parse::<usize>().ok())
    else {
        return false;
    };
    // Each lies behind a guard page, which is a mapping too.
    let options = Options::new().guard_pages(1, 0);
    let mut all: Vec<AnonMap> = Vec::new();
    for index in 0..count / 2 {
        let mut map = options.anon(page_size().bytes()).unwrap();
        map[0] = index as u8 % 2;
        all.push(map);
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(b"ready").and_then(|()| stdout.flush()).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    true
}

struct Subject(Child);

impl Subject {
    fn new(mappings: usize) -> Subject {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(SUBJECT, mappings.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        // Until it waits it may still touch a page.
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        Subject(child)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn maps(_dir: &Path, scale: Scale) -> Vec<Outcome> {
    let subject = Subject::new(10_000 / scale.shrink);
    let id = subject.0.id();
    let of = |detail| maps_with(id, detail).unwrap();
    let text = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap();
    let layout = compare(
        "maps of 10,000 mappings: layout, checked, and purposes / text of maps, ranges parsed",
        Bar::None,
        scale.rounds,
        1,
        &mut |_| of(Detail::Layout).regions().iter().map(|is| is.range.len() as u64).sum(),
        &mut |_| lengths(&text("maps")),
    );
    let resident = |detail| of(detail).total().resident_bytes.unwrap();
    let pages = compare(
        "the same: resident by the page tables / text of smaps, resident summed",
        Bar::None,
        scale.rounds,
        1,
        &mut |_| resident(Detail::Pages),
        &mut |_| rss(&text("smaps")),
    );
    let shares = compare(
        "the same: everything / text of smaps, resident summed",
        Bar::None,
        scale.rounds,
        1,
        &mut |_| resident(Detail::Shares),
        &mut |_| rss(&text("smaps")),
    );
    vec![layout, pages, shares]
}

/// All mapped bytes, but for the page that every process shows.
fn lengths(maps: &str) -> u64 {
    let lines = maps.lines().filter(|line| !line.ends_with("[vsyscall]"));
    lines
        .map(|line| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let number = |digits| u64::from_str_radix(digits, 16).unwrap();
            number(end) - number(start)
        })
        .sum()
}

/// All resident bytes.
fn rss(smaps: &str) -> u64 {
    let values = smaps.lines().filter_map(|line| line.strip_prefix("Rss:"));
    values
        .map(|value| value.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024)
        .sum()
}
