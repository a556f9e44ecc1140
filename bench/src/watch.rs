//! What `bifolio watch` takes of a core while it looks ten times a second.
//!
//! The program runs on a terminal that script(1) makes; its CPU time is that of all its threads by
//! schedstat (proc(5)), beside the time that passed.

use crate::cases::{Case, Scale};
use crate::pair::{Bar, Outcome};
use crate::programs::{bifolio, is_installed};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The case of this file.
pub const CASES: &[Case] = &[Case { name: "watch", run: watch }];

/// How long one round lasts where times mean something.
const ROUND: Duration = Duration::from_secs(3);

/// A terminal with the program in it.
struct Shown {
    script: Child,
    pid: u32,
}

impl Shown {
    fn new(program: &Path, file: &Path) -> Shown {
        let size = "stty rows 60 cols 200";
        let line = format!("{size}; exec {} watch {}", program.display(), file.display());
        let mut script = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // What is drawn is read, or the terminal would be full; the first of it tells that the
        // program has begun.
        let mut out = script.stdout.take().unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut block = [0; 1 << 16];
            while out.read(&mut block).is_ok_and(|count| count > 0) {
                let _ = begun.send(());
            }
        });
        begins.recv().expect("the program draws");
        let children = format!("/proc/{0}/task/{0}/children", script.id());
        let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        Shown { script, pid }
    }

    /// The CPU time of all its threads, in nanoseconds.
    fn cpu_ns(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap();
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(of).sum::<u64>() as f64
    }

    fn quit(mut self) {
        self.script.stdin.take().unwrap().write_all(b"q").unwrap();
        assert!(self.script.wait().unwrap().success(), "it ended with an error");
    }
}

/// CPU time and passed time of one round, in nanoseconds.
fn round(shown: &Shown, lasts: Duration) -> (f64, f64) {
    let (cpu, start) = (shown.cpu_ns(), Instant::now());
    std::thread::sleep(lasts);
    (shown.cpu_ns() - cpu, start.elapsed().as_nanos() as f64)
}

fn watch(dir: &Path, scale: Scale) -> Vec<Outcome> {
    if !is_installed("script") {
        return vec![];
    }
    let (program, path) = (bifolio(), dir.join("sparse"));
    let len = (100_u64 << 30) / scale.shrink as u64;
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.set_len(len).unwrap();
    // 64 runs of 1 MiB, so that it is not all one question.
    let run = vec![7; (1 << 20) / scale.shrink];
    let starts: Vec<u64> = (0..64).map(|index| len / 64 * index).collect();
    starts.iter().for_each(|&start| file.write_all_at(&run, start).unwrap());
    file.sync_all().unwrap();
    let (rounds, lasts) = (scale.rounds.min(3), ROUND / scale.hurry);
    let shown = Shown::new(&program, &path);
    let measure = |work: &str| {
        let times = (0..rounds).map(|_| round(&shown, lasts));
        let (cpu, passed) = times.unzip();
        Outcome::of(work, Bar::RatioMax(0.05), cpu, passed)
    };
    let idle =
        measure("CPU time of bifolio watch on a 100 GiB sparse file / time, nobody reads it");
    // Somebody reads all of it and then writes all of it, so that cells change all the time.
    let is_over = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut block = vec![0; run.len()];
            let mut at = 0;
            // Relaxed: it only has to be seen at some time.
            while !is_over.load(Ordering::Relaxed) {
                let start = starts[at % starts.len()];
                if (at / starts.len()).is_multiple_of(2) {
                    file.read_exact_at(&mut block, start).unwrap();
                } else {
                    file.write_all_at(&block, start).unwrap();
                }
                at += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let busy = measure("the same while a process reads and writes it");
        // Relaxed: as above.
        is_over.store(true, Ordering::Relaxed);
        busy
    });
    shown.quit();
    vec![idle, busy]
}
