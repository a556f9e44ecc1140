//! The step that ends other programs: a file that another process cuts while it is read.

use super::Step;
use super::subject::Subject;
use super::witness::Witness;
use crate::bytes::{grouped, human};
use crate::failure::Failure;
use bifolio::fault;
use bifolio::{Access, FileMap};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long the file is read at most, should nobody cut it.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Reads the copy over and over while the witness cuts it in two.
pub(super) fn truncated(subject: &Subject) -> Result<Step, Failure> {
    let len = subject.copy_len()?;
    // Not at a page's border: the rest of that page can be read.
    let cut = len / 2 + 100;
    let map = FileMap::from_file(subject.copy_read_only()?).map_err(|(_, error)| error)?;
    let mut witness = Witness::of(&subject.copy_path())?;
    let pid = witness.pid();
    let mut bytes = vec![0; len];
    map.read_exact_at(&mut bytes, 0)?;
    witness.start_to_truncate(cut)?;
    let start = Instant::now();
    let mut reads = 1_u64;
    let error = loop {
        match map.read_exact_at(&mut bytes, 0) {
            Ok(()) if start.elapsed() < WAIT_MAX => reads += 1,
            Ok(()) => return Err(Failure::message("the file was not cut in time")),
            Err(error) => break error,
        }
    };
    witness.wait()?;
    let mut rest = vec![0; 100];
    map.read_exact_at(&mut rest, cut - 100)?;
    let text = vec![
        format!(
            "A copy of {} was read over and over while process {pid} cut it to {} bytes. {} reads \
             of all of it went well; then the page under the reader was gone. The kernel sends \
             SIGBUS for that, which ends a program. Here it is an error with its range:",
            human(len as u64),
            grouped(cut as u64),
            grouped(reads),
        ),
        format!("{error}"),
        "The bytes that are left can be read as before.".to_owned(),
    ];
    let facts = json!({
        "len_bytes": len,
        "cut_to_bytes": cut,
        "reads_before": reads,
        "error": error.to_string(),
        "done_bytes": error.done_bytes(),
        "range": error.range().map(|range| [range.start, range.end]),
        "handler_is_sure": fault::status().is_sure(),
    });
    Ok(Step { text, facts })
}
