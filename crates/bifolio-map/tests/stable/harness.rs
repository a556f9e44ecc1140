//! File systems times users times attackers: whatever the policy, the bytes stay.
//!
//! The test starts a *holder* for each file system and user: a process that makes stable bytes and
//! reads them by several threads, while an *attacker*, a third process of the same user, does its
//! worst to the file. A signal ends the holder, which fails the test; so does one byte that
//! differs.
//!
//! File systems on images are mounted in a namespace of a child's own, so that they vanish with it
//! however it ends, and their loop devices with them.

use crate::attacks::{ATTACKS, LEN, WRITERS};
use crate::scratch::{Scratch, assert_plays, can_mount, child, mounting_child, pattern};
use bifolio_map::{FileMap, FileSystem, Policy, Rung, Stable};
use bifolio_sys::fs::file_system;
use bifolio_sys::process::geteuid;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A policy under attack.
pub(crate) struct Defence {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What is asked for.
    pub(crate) policy: fn() -> Policy,
    /// The rung that must answer on this file system.
    pub(crate) rung: fn(FileSystem) -> Rung,
    /// How often each attack is repeated, each time on fresh bytes.
    pub(crate) rounds: usize,
}

/// What is done with a path of one's own.
pub(crate) type Play = fn(&Path);

/// What is played on each file system by each user: the defences, and by name whatever else gets a
/// path of its own to play on.
pub(crate) struct Programme {
    pub(crate) defences: &'static [Defence],
    pub(crate) others: &'static [(&'static str, Play)],
}

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

/// How many threads of the holder read while the attacker works.
const READERS: usize = 3;

/// The variables by which children learn what they are to do.
const PLAY: &str = "BIFOLIO_PLAY";
const FILE: &str = "BIFOLIO_FILE";
const ATTACK: &str = "BIFOLIO_ATTACK";
const MKFS: &str = "BIFOLIO_MKFS";

impl Programme {
    /// Plays all of it in `directory`, as this user, and as another where that can be had.
    pub(crate) fn play_in(&self, directory: &Path) {
        self.play_as(None, directory);
        if geteuid().is_root() {
            self.play_as(Some(STRANGER), directory);
        } else {
            println!("skipped: only root can be another user too");
        }
    }

    fn play_as(&self, user: Option<u32>, directory: &Path) {
        let scratch = Scratch::for_everyone();
        let binary = scratch.copy_of_this();
        let defences = self.defences.iter().map(|defence| defence.name);
        for name in defences.chain(self.others.iter().map(|(name, _)| *name)) {
            let own = directory.join(format!("{name}-{}", user.unwrap_or(0)));
            fs::create_dir(&own).unwrap();
            let mut player = Command::new(&binary);
            player.args(child("player").get_args()).current_dir("/");
            player.env("BIFOLIO_CHILD", "player").env(PLAY, name).env(FILE, own.join("data"));
            if let Some(user) = user {
                std::os::unix::fs::chown(&own, Some(user), Some(user)).unwrap();
                player.uid(user).gid(user);
            }
            assert_plays(&mut player);
        }
    }

    /// Plays all of it on an image of a file system made by `mkfs`, mounted by a child.
    pub(crate) fn play_on_image(mkfs: &str) {
        if can_mount() {
            // It is this process that removes the image, when nothing is mounted any more.
            let scratch = Scratch::new();
            let mut mounter = mounting_child("mounter");
            assert_plays(mounter.env(MKFS, mkfs).env(FILE, scratch.join("")));
        }
    }

    /// Makes the image, mounts it, and plays there.
    pub(crate) fn mounter(&self) {
        if let Some(directory) = mount_image() {
            self.play_in(&directory);
        }
    }

    /// Plays what the child was named.
    pub(crate) fn player(&self) {
        let (name, path) = (std::env::var(PLAY).unwrap(), path_of_file());
        match self.defences.iter().find(|defence| defence.name == name) {
            Some(defence) => hold_all(defence, &path),
            None => self.others.iter().find(|(other, _)| *other == name).unwrap().1(&path),
        }
    }
}

/// A directory on a fresh file system, in the mount namespace of this child; `None` where it cannot
/// be had, with the reason printed.
pub(crate) fn mount_image() -> Option<PathBuf> {
    let (mkfs, scratch) = (std::env::var(MKFS).unwrap(), path_of_file());
    let (image, directory) = (scratch.join("image"), scratch.join("mount"));
    File::create(&image).unwrap().set_len(320 << 20).unwrap();
    fs::create_dir(&directory).unwrap();
    let sbin = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut words = mkfs.split(' ');
    let mut make = Command::new(words.next().unwrap());
    make.args(words).arg(&image).env("PATH", sbin);
    if !make.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: {mkfs} is absent, or cannot make an image");
        return None;
    }
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop"]).args([&image, &directory]);
    if !mount.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: what {mkfs} makes cannot be mounted here");
        return None;
    }
    Some(directory)
}

fn path_of_file() -> PathBuf {
    PathBuf::from(std::env::var_os(FILE).unwrap())
}

/// Holds stable bytes through every attack.
fn hold_all(defence: &Defence, path: &Path) {
    let content = pattern(LEN);
    for (name, _) in ATTACKS {
        let mut attacker = Attacker::start(name, path);
        for _ in 0..defence.rounds {
            let _ = fs::remove_file(path);
            fs::write(path, &content).unwrap();
            let system = file_system(File::open(path).unwrap()).unwrap();
            let map = FileMap::open(path).unwrap();
            let stable = map.stable(&(defence.policy)()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(stable.rung(), (defence.rung)(system), "{name} on {system:?}");
            drop(map);
            hold(&stable, &content, &mut attacker, name);
            assert_ne!(fs::read(path).unwrap(), content, "{name}: nothing was attacked");
        }
    }
}

/// Reads `stable` by several threads until the attacker has done its work, and once more.
fn hold(stable: &Stable, content: &[u8], attacker: &mut Attacker, name: &str) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut is_last = false;
                while !is_last {
                    is_last = is_over.load(Ordering::SeqCst);
                    let bytes: &[u8] = black_box(stable);
                    assert!(bytes == content, "{name}: the bytes changed");
                }
            });
        }
        attacker.attack();
        is_over.store(true, Ordering::SeqCst);
    });
}

/// A process that attacks whenever it is told to, until it is dropped.
pub(crate) struct Attacker {
    process: Child,
    line: UnixStream,
}

impl Attacker {
    pub(crate) fn start(attack: &str, path: &Path) -> Self {
        let (line, other_end) = UnixStream::pair().unwrap();
        let mut command = child("attacker");
        command.env(ATTACK, attack).env(FILE, path);
        command.stdin(OwnedFd::from(other_end)).stdout(Stdio::null());
        Attacker { process: command.spawn().unwrap(), line }
    }

    /// Has it attack once, and waits until that is done.
    fn attack(&mut self) {
        self.begin();
        self.wait();
    }

    /// Has it attack once.
    pub(crate) fn begin(&mut self) {
        self.line.write_all(&[1]).unwrap();
    }

    /// Waits until it has attacked.
    pub(crate) fn wait(&mut self) {
        self.line.read_exact(&mut [0]).expect("the attacker is alive");
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Attacks each time a byte comes in, and answers it.
pub(crate) fn attacker() {
    let name = std::env::var(ATTACK).unwrap();
    let path = path_of_file();
    let (_, attack) = ATTACKS.iter().chain(WRITERS).find(|(known, _)| *known == name).unwrap();
    let mut line =
        UnixStream::from(bifolio_sys::fs::fcntl_dupfd_cloexec(std::io::stdin(), 3).unwrap());
    while line.read_exact(&mut [0]).is_ok() {
        attack(&path);
        line.write_all(&[1]).unwrap();
    }
}
