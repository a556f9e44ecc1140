//! A stream, searched while it arrives.

use super::output::Shown;
use super::pattern::Pattern;
use crate::failure::Failure;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// How many bytes are asked for at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Gives the matches in a stream to `deliver`, each with `context` bytes around it, until that says
/// to end. What was read before a failure is searched before it is returned.
pub(super) fn search(
    mut reader: impl Read,
    pattern: &Pattern,
    context: usize,
    failed: impl Fn(io::Error) -> Failure,
    mut deliver: impl FnMut(Shown<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let look_ahead = pattern.look_ahead_bytes() + context;
    let look_behind = pattern.look_behind_bytes().max(context);
    // The bytes from `base` of the stream on; a match may begin at or after `from`.
    let (mut hay, mut base, mut from) = (Vec::new(), 0_u64, 0);
    loop {
        let filled = hay.len();
        hay.resize(filled + BLOCK_BYTES, 0);
        let answer = match reader.read(&mut hay[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                hay.truncate(filled);
                continue;
            }
            answer => answer,
        };
        let count = *answer.as_ref().unwrap_or(&0);
        hay.truncate(filled + count);
        // Behind this place a match may depend on what has not arrived.
        let end = if count == 0 { hay.len() } else { hay.len().saturating_sub(look_ahead) };
        while let Some(place) = pattern.find(&hay, from).filter(|place| place.start < end) {
            from = place.end;
            let found = Shown {
                place: base + place.start as u64..base + place.end as u64,
                before: &hay[place.start.saturating_sub(context)..place.start],
                bytes: &hay[place.clone()],
                after: &hay[place.end..(place.end + context).min(hay.len())],
            };
            if deliver(found)?.is_break() {
                return Ok(());
            }
        }
        if answer.map_err(&failed)? == 0 {
            return Ok(());
        }
        from = from.max(end);
        let kept_from = from.min(hay.len()).saturating_sub(look_behind);
        hay.drain(..kept_from);
        base += kept_from as u64;
        from -= kept_from;
    }
}
