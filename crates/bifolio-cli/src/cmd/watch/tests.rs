//! The screen as it looks: drawn on ratatui's backend for tests, of a source that is made up.

use super::grid::Window;
use super::keys::Key;
use super::model::{Model, Order};
use super::source::{Counters, Item, Rss, Source, Subject};
use super::watcher::Watcher;
use crate::cell::{Cell, Counts};
use crate::failure::Failure;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use std::time::{Duration, Instant};

const PAGE: u64 = 4096;

/// Three files of which the pages are made up.
struct MadeUp {
    items: Vec<Item>,
    subject: Subject,
    counters: Counters,
}

impl MadeUp {
    fn new(subject: Subject) -> MadeUp {
        let item = |id, name: &str, pages: u64, totals| Item {
            id,
            name: name.to_owned(),
            place: 0..pages * PAGE,
            totals,
            note: String::new(),
            file: None,
        };
        let counted = |total_pages, resident_pages, dirty_pages| {
            let dirty_pages = Some(dirty_pages);
            Ok(Counts { total_pages, resident_pages, dirty_pages, ..Counts::default() })
        };
        let items = vec![
            item(0, "a/rather/long/name/of/a/file.img", 1024, counted(1024, 512, 64)),
            item(1, "all", 8, counted(8, 8, 0)),
            item(2, "theirs", 8, Err("the kernel tells only the owner".to_owned())),
        ];
        let rss = Rss { anon_bytes: 5 << 20, file_bytes: 3 << 20, shmem_bytes: 0, swap_bytes: 0 };
        let counters = Counters {
            minor_faults: 1000,
            major_faults: 10,
            refaults: Some(3),
            rss: matches!(subject, Subject::Process(_)).then_some(rss),
        };
        MadeUp { items, subject, counters }
    }

    /// Of the first file the first quarter is a hole, the second is absent, then some is dirty, and
    /// the rest is there.
    fn page(id: u64, page: u64) -> Cell {
        match (id, page) {
            (0, 0..256) => Cell::Hole,
            (0, 256..500) => Cell::Absent,
            (0, 500..512) => Cell::PushedOut,
            (0, 512..576) => Cell::Dirty,
            (2, _) => Cell::Unknown,
            _ => Cell::Resident,
        }
    }
}

impl Source for MadeUp {
    fn subject(&self) -> Subject {
        self.subject.clone()
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        self.counters.minor_faults += 50;
        Ok(())
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn look(&mut self, id: u64, window: &Window, cells: &mut [Cell]) {
        for (index, cell) in cells.iter_mut().enumerate() {
            let bytes = window.bytes(index..index + 1);
            let pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
            *cell = Cell::together(&pages.map(|page| Self::page(id, page)).collect::<Vec<_>>());
        }
    }

    fn counters(&mut self) -> Option<Counters> {
        Some(self.counters)
    }
}

fn watcher(subject: Subject, has_color: bool) -> Watcher {
    let model = Model::new(subject.clone(), Order::Given, has_color, PAGE);
    Watcher::new(Box::new(MadeUp::new(subject)), model)
}

/// The screen after a look, as lines without the blanks at their ends.
fn shown(watcher: &mut Watcher, width: u16, height: u16) -> Vec<String> {
    let area = Rect { x: 0, y: 0, width, height };
    let places = watcher.model.places(area);
    watcher.model.set_capacity(watcher.model.cells_in(places.grid));
    watcher.first_look().unwrap();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let model = &watcher.model;
    terminal.draw(|frame| model.draw(&model.places(area), frame.buffer_mut())).unwrap();
    let symbols: Vec<&str> =
        terminal.backend().buffer().content.iter().map(ratatui::buffer::Cell::symbol).collect();
    let lines = symbols.chunks(usize::from(width)).map(|line| line.concat());
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// Compares with a picture in which `#` stands for a full block, `.` for the middle dot, `~` for
/// the ellipsis, and `^`, `_` for the upper and the lower half of a block.
#[track_caller]
fn assert_shown(lines: &[String], expected: &[&str]) {
    let plain = |text: &str| {
        text.replace('\u{2588}', "#")
            .replace('\u{b7}', ".")
            .replace('\u{2026}', "~")
            .replace('\u{2580}', "^")
            .replace('\u{2584}', "_")
    };
    let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    assert_eq!(lines, expected, "\n{}\n", lines.join("\n"));
}

#[test]
fn a_wide_screen_has_the_list_on_the_left_and_the_grid_on_the_right() {
    assert_shown(
        &shown(&mut watcher(Subject::Files, true), 84, 14),
        &[
            "bifolio watch  3 files",
            "> ~file.img     4 MiB   50%   ..!!### 0 B to 4 MiB  1 cell = 8 KiB",
            "  all          32 KiB  100% ######### 2 MiB in memory, 256 KiB dirty",
            "  theirs       32 KiB     ? ?????????",
            "                                                        ............................",
            "                                      .................................xxx!!!!!!!!!!",
            "                                      !!!!!!########################################",
            "                                      ##############################################",
            "                                      ##########################",
            "",
            "machine: faults 1,050  from disk 10  refaults 3",
            "# in memory  ! newer than the disk  x pushed out  . not in memory  blank: a hole",
            "? unknown",
            "",
        ],
    );
}

#[test]
fn without_colours_every_cell_has_its_glyph() {
    assert_shown(
        &shown(&mut watcher(Subject::Files, false), 80, 14),
        &[
            "bifolio watch  3 files",
            "> ~ile.img     4 MiB   50%   ..!!### 0 B to 4 MiB  1 cell = 16 KiB",
            "  all         32 KiB  100% ######### 2 MiB in memory, 256 KiB dirty",
            "  theirs      32 KiB     ? ?????????",
            "                                                          ......................",
            "                                     .......................................xxx!",
            "                                     !!!!!!!!!!!!!!!############################",
            "                                     ###########################################",
            "                                     #########################################",
            "",
            "machine: faults 1,050  from disk 10  refaults 3",
            "# in memory  ! newer than the disk  x pushed out  . not in memory  blank: a hole",
            "? unknown",
            "",
        ],
    );
}

#[test]
fn a_narrow_screen_has_the_list_above_the_grid() {
    assert_shown(
        &shown(&mut watcher(Subject::Process(812), true), 60, 16),
        &[
            "bifolio watch  process 812, 3 mappings",
            "> ~/name/of/a/file.img     4 MiB   50%      .....!!#########",
            "  all                     32 KiB  100% #####################",
            "  theirs                  32 KiB     ? ?????????????????????",
            "0-400000  1 cell = 8 KiB",
            "2 MiB in memory, 256 KiB dirty",
            "",
            "    ........................................................",
            ".....xxx!!!!!!!!!!!!!!!!####################################",
            "############################################################",
            "################",
            "faults 1,050  from disk 10  refaults 3",
            "anonymous 5 MiB   file 3 MiB   shared 0 B   swapped 0 B",
            "# in memory  ! newer than the disk  x pushed out",
            ". not in memory  blank: a hole  ? unknown",
            "",
        ],
    );
    assert_shown(
        &shown(&mut watcher(Subject::Files, true), 20, 5),
        &[
            "bifolio watch  3 fil",
            "> ~ile.img     4 MiB",
            "0 B to 4 MiB  1 cell",
            "    _....^!^########",
            "# in memory",
        ],
    );
}

#[test]
fn the_smallest_screens_are_drawn_too() {
    let mut watcher = watcher(Subject::Files, true);
    for (width, height) in (1..30).flat_map(|width| (1..10).map(move |height| (width, height))) {
        let lines = shown(&mut watcher, width, height);
        assert_eq!(lines.len(), usize::from(height));
    }
}

#[test]
fn what_is_unknown_is_so_with_the_reason() {
    let mut watcher = watcher(Subject::Files, true);
    shown(&mut watcher, 84, 14);
    watcher.model.press(Key::Last);
    assert_shown(
        &shown(&mut watcher, 84, 14),
        &[
            "bifolio watch  3 files",
            "  ~file.img     4 MiB   50%   ..!!### 0 B to 32 KiB  1 cell = 4 KiB",
            "  all          32 KiB  100% ######### unknown: the kernel tells only the owner",
            "> theirs       32 KiB     ? ????????? ????",
            "",
            "",
            "",
            "",
            "",
            "",
            "machine: faults 1,100  from disk 10  refaults 3",
            "# in memory  ! newer than the disk  x pushed out  . not in memory  blank: a hole",
            "? unknown",
            "",
        ],
    );
}

#[test]
fn the_help_takes_the_place_of_the_legend_and_what_happened_stands_before_it() {
    let mut watcher = watcher(Subject::Files, true);
    let row_of = |lines: &[String], text: &str| lines.iter().position(|line| line.contains(text));
    watcher.model.press(Key::Help);
    let lines = shown(&mut watcher, 80, 24);
    assert!(row_of(&lines, "q quit").is_some(), "{lines:#?}");
    assert!(row_of(&lines, "a hole").is_none(), "{lines:#?}");
    watcher.model.say("evicted 3 MiB");
    let lines = shown(&mut watcher, 80, 24);
    assert!(row_of(&lines, "evicted 3 MiB") < row_of(&lines, "q quit"), "{lines:#?}");
    watcher.model.press(Key::Help);
    let lines = shown(&mut watcher, 80, 24);
    assert!(row_of(&lines, "evicted 3 MiB").is_none(), "{lines:#?}");
    assert!(row_of(&lines, "a hole").is_some(), "{lines:#?}");
}

#[test]
fn what_is_recorded_is_shown_again_and_can_be_wound() {
    let path = std::env::temp_dir().join(format!("bifolio-recording-{}", std::process::id()));
    let mut made = watcher(Subject::Process(7), true);
    let before = shown(&mut made, 100, 14);
    made.record(Some(&path)).unwrap();
    let began = Instant::now();
    for second in 0..3 {
        made.step(began + Duration::from_secs(60 * second), 0..3);
    }
    made.end_recording().unwrap();
    let taken = made.record(Some(&path));
    let text = std::fs::read_to_string(&path).unwrap();
    let replay = super::replay::Replay::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(taken.is_err(), "a recording was overwritten");
    assert!(text.lines().count() >= 5 && text.lines().all(|line| line.contains("\"schema\":1")));
    // What did not change is there once.
    assert_eq!(text.matches("\"name\":\"all\"").count(), 1, "{text}");

    let model = Model::new(replay.subject(), Order::Given, true, replay.page_bytes());
    let mut again = Watcher::new(Box::new(replay), model);
    let frames = again.source.position().unwrap().frames;
    again.step(began, 0..3);
    let after = shown(&mut again, 100, 14);
    // All but the title, which says where the recording is, and the numbers.
    assert_eq!(after[1..8], before[1..8], "{after:#?}\n{before:#?}");
    // Every moment is drawn, whether or not more than its number is new.
    for frame in 1..frames {
        again.model.is_changed = false;
        again.wind(1, 0..3);
        assert!(again.model.is_changed, "frame {frame} of {frames}");
    }
    assert_eq!(again.source.position().unwrap().frame, frames - 1);
    again.wind(i64::MAX, 0..3);
    assert_eq!(again.source.position().unwrap().frame, frames - 1);
    again.wind(i64::MIN, 0..3);
    assert_eq!(again.source.position().unwrap().frame, 0);
}

#[test]
fn what_is_paused_is_not_looked_at_until_it_goes_on() {
    let mut watcher = watcher(Subject::Files, true);
    watcher.first_look().unwrap();
    let faults = |watcher: &mut Watcher| watcher.source.counters().unwrap().minor_faults;
    let (before, now) = (faults(&mut watcher), Instant::now());
    watcher.model.press(Key::Pause);
    watcher.step(now + Duration::from_secs(60), 0..3);
    assert_eq!(faults(&mut watcher), before);
    watcher.model.press(Key::Pause);
    watcher.step(now + Duration::from_secs(120), 0..3);
    assert_eq!(faults(&mut watcher), before + 50);
    watcher.model.press(Key::Pause);
    let title = shown(&mut watcher, 80, 24).remove(0);
    assert!(title.ends_with("PAUSED"), "{title}");
}
