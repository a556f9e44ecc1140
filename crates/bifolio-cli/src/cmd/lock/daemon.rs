//! Going on in the background: the program starts itself once more, and stays until that one says
//! that all is locked.
//!
//! 1. The process in the background has no stream of the caller's: what it says before the word
//!    goes through pipes to the one that waits, and later nobody listens.
//! 2. It is in a process group of its own, which no terminal has in its foreground, so that neither
//!    an interrupt nor a hang-up reaches it.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;

/// What the process in the background writes to both streams when all is locked: End of
/// Transmission.
const WORD: &[u8] = b"\x04\n";

/// Starts the program in the background, and passes on what it says until it says the word.
pub(super) fn start(console: &mut Console, needs_input: bool) -> Result<Exit, Failure> {
    let failed = |error| Failure::message(format!("cannot go on in the background: {error}"));
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    let behind = args.iter().position(|arg| arg == "lock").map_or(0, |at| at + 1);
    args.insert(behind, "--detached".into());
    let mut child = Command::new(super::own_program())
        .arg0("bifolio")
        .args(args)
        .stdin(if needs_input { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = thread::spawn(move || pass_on(stderr, &mut io::stderr()));
    let is_ready = pass_on(stdout, console)?;
    let heard = said.join().is_ok_and(|heard| heard.is_ok_and(|heard| heard));
    if is_ready && heard {
        return Ok(Exit::Success);
    }
    let status = child.wait().map_err(failed)?;
    match status.code() {
        // It said why.
        Some(_) => Ok(Exit::Error),
        None => Err(Failure::message(format!("the process in the background ended: {status}"))),
    }
}

/// Passes lines on until the word comes, or the end; returns whether it was the word.
fn pass_on(from: Option<impl Read>, to: &mut impl Write) -> io::Result<bool> {
    let Some(from) = from else { return Ok(false) };
    let mut lines = BufReader::new(from);
    loop {
        let mut line = vec![];
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        if line == WORD {
            return Ok(true);
        }
        to.write_all(&line)?;
    }
}

/// Says the word to who waits.
pub(super) fn say_ready() -> Result<(), Failure> {
    io::stdout().write_all(WORD)?;
    Ok(io::stderr().write_all(WORD)?)
}
