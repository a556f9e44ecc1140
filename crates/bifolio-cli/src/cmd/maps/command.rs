//! The memory of a command: it is run, and looked at again and again while it runs.
//!
//! Nothing stops the command, so a moment can be missed: what is shown says when it was.

use super::snapshot::{Moment, Name, Snapshot};
use crate::failure::Failure;
use bifolio::ErrorKind;
use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The moment at which to look at a command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum At {
    /// As near to its end as can be.
    End,
    /// When it had most in memory.
    Peak,
    /// So long after its start.
    Time(Duration),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<At, String> {
        match text {
            "end" => Ok(At::End),
            "peak" => Ok(At::Peak),
            time => parse_time(time)
                .map(At::Time)
                .map_err(|error| format!("{error}; or `end`, or `peak`")),
        }
    }
}

/// A time as people write it: `2s`, `500ms`, `1.5`. For clap's `value_parser`.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| String::from("a time is like `2s` or `500ms`"))
}

/// Between two looks: at first none, to catch the short-lived, then ever more up to this.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// So many times as long as a look takes is waited for the next: while it is looked at, a process
/// cannot map or unmap.
const LOOK_SHARE: u32 = 4;

/// A command that runs.
pub(super) struct Running {
    words: Vec<Name>,
    child: Child,
    start: Instant,
}

/// What was seen of a command, and how it ended.
pub(super) struct Seen {
    pub(super) shown: Snapshot,
    /// The look with most in memory.
    pub(super) peak: (u64, Moment),
    pub(super) looks: u64,
    pub(super) status: ExitStatus,
}

impl Running {
    /// Starts a command. What it writes to standard output goes to standard error: standard output
    /// is ours.
    pub(super) fn start(words: &[OsString]) -> Result<Running, Failure> {
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdout(Stdio::from(io::stderr()))
            .spawn()
            .map_err(|error| Failure::file(words[0].as_ref(), error))?;
        let words = words.iter().map(|word| Name::of(word.as_encoded_bytes())).collect();
        Ok(Running { words, child, start: Instant::now() })
    }

    fn look(&self) -> Result<Option<Snapshot>, Failure> {
        let after_start_seconds = self.start.elapsed().as_secs_f64();
        match Snapshot::take(self.child.id()) {
            Ok(mut snapshot) => {
                if snapshot.command.is_empty() {
                    // It has begun, and the kernel has not yet put its words there.
                    snapshot.command.clone_from(&self.words);
                }
                snapshot.moment = Some(Moment { after_start_seconds, before_end_seconds: None });
                Ok(Some(snapshot))
            }
            Err(error) if error.kind() == ErrorKind::NoSuchProcess => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a time after the start has come, and looks.
    pub(super) fn at(&mut self, time: Duration) -> Result<Snapshot, Failure> {
        while let Some(rest) = time.checked_sub(self.start.elapsed()) {
            if self.ended()?.is_some() {
                break;
            }
            std::thread::sleep(rest.min(PAUSE_MAX / 10));
        }
        self.look()?.ok_or_else(|| {
            let text = format!("{} ended before {time:?} had passed", self.name());
            Failure::message(text).with_help("--at end shows the last that can be seen of it")
        })
    }

    /// Looks at it until it ends.
    pub(super) fn watch(mut self, at: At) -> Result<Seen, Failure> {
        let (mut last, mut peak): (Option<Snapshot>, Option<(u64, Snapshot)>) = (None, None);
        let mut pause = Duration::from_micros(100);
        let mut looks = 0;
        let status = loop {
            let began = Instant::now();
            if let Some(snapshot) = self.look()? {
                looks += 1;
                let resident = snapshot.total().resident_bytes.unwrap_or(0);
                if peak.as_ref().is_none_or(|(most, _)| resident > *most) {
                    peak = Some((resident, snapshot.clone()));
                }
                last = Some(snapshot);
            }
            let cost = began.elapsed();
            if let Some(status) = self.ended()? {
                break status;
            }
            pause = (pause * 2).min(PAUSE_MAX);
            std::thread::sleep(pause.max(cost * LOOK_SHARE));
        };
        let lasted = self.start.elapsed().as_secs_f64();
        let (Some(mut last), Some((most, mut top))) = (last, peak) else {
            let text = format!("{} ended before it could be looked at", self.name());
            return Err(Failure::message(text).with_help("its memory is gone with it"));
        };
        for snapshot in [&mut last, &mut top] {
            if let Some(moment) = &mut snapshot.moment {
                moment.before_end_seconds = Some(lasted - moment.after_start_seconds);
            }
        }
        let moment = top.moment.expect("every look has its moment");
        let shown = if at == At::Peak { top } else { last };
        Ok(Seen { shown, peak: (most, moment), looks, status })
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|error| self.lost(error))
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Result<ExitStatus, Failure> {
        self.child.wait().map_err(|error| self.lost(error))
    }

    fn lost(&self, error: io::Error) -> Failure {
        Failure::file(self.name().as_ref(), error)
    }

    fn name(&self) -> String {
        self.words[0].shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, time) in [("2s", 2000), ("500ms", 500), ("1.5", 1500), ("0", 0)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(time)), "{text}");
        }
        for text in ["", "s", "-1s", "2 minutes", "1e99", "nan"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert_eq!("peak".parse(), Ok(At::Peak));
        assert_eq!("1s".parse(), Ok(At::Time(Duration::from_secs(1))));
        assert!("noon".parse::<At>().is_err());
    }
}
