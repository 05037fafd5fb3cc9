// SPDX-License-Identifier: MPL-2.0
//! The clip's frames: in memory, and beyond a limit in a file that has no name and vanishes with the process.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that may be used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub memory: u64,
    pub disk: u64,
}

#[derive(Debug)]
pub enum StoreError {
    Full(Limits),
    /// The frame does not hold what its caps say.
    Frame,
    Spool(io::Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let folder = std::env::temp_dir();
        match self {
            Self::Full(limits) => write!(
                f,
                "The clip is too long to be looped: its frames take more than max-memory ({} bytes) and max-disk ({} bytes) \
                 together. Use a shorter or smaller clip, raise max-disk, or play it once with mode=none",
                limits.memory, limits.disk
            ),
            Self::Frame => write!(f, "A frame cannot be read: it does not hold the picture that its caps describe"),
            Self::Spool(error) => write!(
                f,
                "The frames beyond max-memory cannot be kept in the folder {}: {error}. Make room there, set TMPDIR to \
                 another folder, or raise max-memory",
                folder.display()
            ),
        }
    }
}

/// Frames of one format.
///
/// They are copies, in the format's plain layout. Keeping the arriving buffers instead would take a decoder's few buffers
/// away from it for ever; nor would it save the copying, because whoever paints on a frame downstream would then have to
/// make the copy.
#[derive(Debug)]
pub struct Store {
    info: gst_video::VideoInfo,
    limits: Limits,
    memory: Vec<gst::Buffer>,
    spool: Option<Spool>,
}

impl Store {
    pub fn new(info: gst_video::VideoInfo, limits: Limits) -> Self {
        Self { info, limits, memory: Vec::new(), spool: None }
    }

    pub fn info(&self) -> &gst_video::VideoInfo {
        &self.info
    }

    /// Whether one more frame stays in memory.
    pub fn has_room(&self) -> bool {
        let size = self.info.size() as u64;
        self.spool.is_none() && (self.memory.len() as u64 + 1).saturating_mul(size) <= self.limits.memory
    }

    /// Takes out the frames that are in memory, from the first.
    pub fn drain(&mut self) -> impl Iterator<Item = gst::Buffer> {
        self.memory.drain(..)
    }

    pub fn push(&mut self, buffer: &gst::BufferRef) -> Result<(), StoreError> {
        let size = self.info.size() as u64;
        let in_memory = self.has_room();
        if !in_memory {
            let spooled = self.spool.as_ref().map_or(0, |spool| spool.shells.len() as u64);
            if (spooled + 1).saturating_mul(size) > self.limits.disk {
                return Err(StoreError::Full(self.limits));
            }
        }
        let frame = plain(&self.info, buffer).ok_or(StoreError::Frame)?;
        if in_memory {
            self.memory.push(frame);
            return Ok(());
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::new().map_err(StoreError::Spool)?),
        };
        let offset = spool.shells.len() as u64 * size;
        let bytes = frame.map_readable().map_err(|_| StoreError::Frame)?;
        spool.file.write_all_at(&bytes, offset).map_err(StoreError::Spool)?;
        let mut shell = gst::Buffer::new();
        frame.copy_into(shell.make_mut(), gst::BufferCopyFlags::FLAGS, ..).map_err(|_| StoreError::Frame)?;
        spool.shells.push(shell);
        Ok(())
    }

    /// Frame `i` as a buffer of its own, without times; what is in memory is shared, not copied.
    pub fn get(&self, i: usize) -> Result<gst::Buffer, StoreError> {
        if let Some(frame) = self.memory.get(i) {
            return Ok(frame.copy());
        }
        let i = i - self.memory.len();
        let missing = || StoreError::Spool(io::ErrorKind::NotFound.into());
        let spool = self.spool.as_ref().ok_or_else(missing)?;
        let mut frame = spool.shells.get(i).ok_or_else(missing)?.copy();
        let mut bytes = vec![0; self.info.size()];
        spool.file.read_exact_at(&mut bytes, i as u64 * self.info.size() as u64).map_err(StoreError::Spool)?;
        frame.make_mut().append_memory(gst::Memory::from_mut_slice(bytes));
        Ok(frame)
    }
}

/// The picture alone, in its format's plain layout: what else was attached belongs to the moment when it was first shown.
pub fn plain(info: &gst_video::VideoInfo, buffer: &gst::BufferRef) -> Option<gst::Buffer> {
    let source = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    let mut copy = gst::Buffer::with_size(info.size()).ok()?;
    {
        let copy = copy.make_mut();
        {
            let mut target = gst_video::VideoFrameRef::from_buffer_ref_writable(copy, info).ok()?;
            source.copy(&mut target).ok()?;
        }
        buffer.copy_into(copy, gst::BufferCopyFlags::FLAGS, ..).ok()?;
        copy.unset_flags(gst::BufferFlags::DISCONT | gst::BufferFlags::RESYNC);
    }
    Some(copy)
}

#[derive(Debug)]
struct Spool {
    file: File,
    /// Every frame in the file, without its bytes.
    shells: Vec<gst::Buffer>,
}

impl Spool {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("avatarloop-{}-{number}", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    std::fs::remove_file(&path)?;
                    return Ok(Self { file, shells: Vec::new() });
                }
                // Left there by a process that had the same number and died between the two lines above.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}
