//! The smallest FUSE server: one file, whose second half cannot be read, as on a broken disk; it
//! claims that fs-verity protects it. What is written to it is on the disk when a gate opens.
//!
//! It speaks the kernel's protocol on `/dev/fuse` (`linux/fuse.h`), so it needs no library.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What the file holds; reading from the middle on is `EIO`.
pub(crate) struct Content(pub(crate) Vec<u8>);

/// Before it is open no write comes to its end; what is written is forgotten.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let is_open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

const ROOT: u64 = 1;
const FILE: u64 = 2;
const EIO: i32 = 5;
const ENOSYS: i32 = 38;

/// Mounts the server at `directory` and lets it run; `false` where that is not permitted.
pub(crate) fn serve(content: Content, directory: &Path) -> bool {
    serve_behind(Gate::default(), content, directory)
}

/// As [`serve`], with the gate for what is written.
pub(crate) fn serve_behind(gate: Gate, content: Content, directory: &Path) -> bool {
    let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
        return false;
    };
    let mut mount = Command::new("mount");
    mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "bifolio"]);
    // The descriptor that the mount names is the command's standard input.
    mount.arg(directory).stdin(device.try_clone().unwrap());
    let is_mounted = mount.output().is_ok_and(|output| output.status.success());
    if is_mounted {
        thread::spawn(move || answer_all(&content, &gate, device));
    }
    is_mounted
}

fn answer_all(content: &Content, gate: &Gate, mut device: File) {
    let mut request = vec![0; 1 << 20];
    // It ends with an error when the file system is unmounted.
    while let Ok(len) = device.read(&mut request) {
        let (header, body) = request[..len].split_at(40);
        let opcode = u32::from_ne_bytes(header[4..8].try_into().unwrap());
        let node = u64::from_ne_bytes(header[16..24].try_into().unwrap());
        let Some(answer) = answer(content, opcode, node, body) else { continue };
        let (error, payload) = match answer {
            Ok(payload) => (0, payload),
            Err(errno) => (-errno, Vec::new()),
        };
        let mut reply = Vec::new();
        let is_write = opcode == 16;
        reply.extend((16 + payload.len() as u32).to_ne_bytes());
        reply.extend(error.to_ne_bytes());
        reply.extend(&header[8..16]);
        reply.extend(payload);
        if is_write {
            let (gate, mut device) = (gate.clone(), device.try_clone().unwrap());
            thread::spawn(move || {
                gate.pass();
                let _ = device.write_all(&reply);
            });
            continue;
        }
        // A request that was interrupted is no more to be answered.
        let _ = device.write_all(&reply);
    }
}

/// The answer to a request: `None` where none is expected.
fn answer(content: &Content, opcode: u32, node: u64, body: &[u8]) -> Option<Result<Vec<u8>, i32>> {
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Some(Ok(match opcode {
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return None,
        // LOOKUP: every name is the file's, for ever.
        1 => {
            [words(&[FILE, 0, u64::MAX >> 2, u64::MAX >> 2, 0]), attributes(content, FILE)].concat()
        }
        // GETATTR
        3 => [words(&[u64::MAX >> 2, 0]), attributes(content, node)].concat(),
        // OPEN
        14 => words(&[0, 0]),
        // READ
        15 => {
            let word = |at: usize| u64::from_ne_bytes(body[at..at + 8].try_into().unwrap());
            let size = u32::from_ne_bytes(body[16..20].try_into().unwrap()) as usize;
            let start = (word(8) as usize).min(content.0.len());
            let end = (start + size).min(content.0.len());
            if end > content.0.len() / 2 {
                return Some(Err(EIO));
            }
            content.0[start..end].to_vec()
        }
        // WRITE: all of it.
        16 => [&body[16..20], &[0; 4]].concat(),
        // IOCTL: whatever is asked, of fs-verity above all, is answered with yes.
        39 => ioctl(body),
        // STATFS: nothing but the number, which is the kernel's own.
        17 => vec![0; 80],
        // RELEASE, FLUSH
        18 | 25 => Vec::new(),
        // INIT: version 7.31, no read-ahead.
        26 => {
            let mut reply = vec![0; 64];
            reply[..4].copy_from_slice(&7_u32.to_ne_bytes());
            reply[4..8].copy_from_slice(&31_u32.to_ne_bytes());
            reply[20..24].copy_from_slice(&4096_u32.to_ne_bytes());
            reply
        }
        _ => return Some(Err(ENOSYS)),
    }))
}

/// A `struct fuse_ioctl_out`, and every bit set in as many bytes as are wanted.
fn ioctl(body: &[u8]) -> Vec<u8> {
    let wanted = u32::from_ne_bytes(body[28..32].try_into().unwrap());
    [vec![0; 16], vec![0xFF; wanted as usize]].concat()
}

/// A `struct fuse_attr`.
fn attributes(content: &Content, node: u64) -> Vec<u8> {
    let (mode, size) = if node == ROOT { (0o40755, 0) } else { (0o100644, content.0.len() as u64) };
    let long = [node, size, size.div_ceil(512), 0, 0, 0].map(u64::to_ne_bytes);
    let short = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes);
    [long.as_flattened(), short.as_flattened()].concat()
}
