//! Memory of the container's processes, read by a process of its own. Memory may be backed by what the container controls, a
//! userfaultfd(2) or a FUSE file: reading it then takes as long as the container likes, and cannot be interrupted.
//!
//! The supervisor waits for the reader only so long. What it has not read by then counts as unreadable, and once slow readings
//! have taken too long in all, nothing is read any more: a reader that hangs in a FUSE file cannot even be killed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use crate::sys::notify::read_memory;
use crate::sys::{Errno, SysResult, attributes, program, time_left};

/// How long a reading may take: memory that was swapped out takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long slow readings may take in all: each could end just in time.
const MOST_WAITED: Duration = Duration::from_secs(6);
/// What is not slow, even where there is much to do; a recording may read for hours in all.
const USUAL: Duration = Duration::from_millis(50);
/// How long a killed reader may take to end.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// The longest reading.
const MOST: usize = 4096;
/// Bytes of a request: thread, length, address.
const REQUEST: usize = 16;

/// What reads; nothing is started before something is to be read.
#[derive(Debug, Default)]
pub(super) struct Memory {
    reader: Option<Reader>,
    /// For slow readings.
    waited: Duration,
}

impl Memory {
    /// Text that ends in a zero; none where it cannot be read or is longer than a path may be.
    pub(super) fn text(&mut self, thread: i32, address: u64) -> Option<Vec<u8>> {
        let mut text = vec![0; MOST];
        let length = self.read(thread, address, &mut text)?;
        text.truncate(length);
        let end = text.iter().position(|byte| *byte == 0)?;
        text.truncate(end);
        Some(text)
    }

    /// Some bytes, all or none.
    pub(super) fn bytes<const N: usize>(&mut self, thread: i32, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let length = self.read(thread, address, &mut bytes)?;
        (length == N).then_some(bytes)
    }

    fn read(&mut self, thread: i32, address: u64, into: &mut [u8]) -> Option<usize> {
        if self.waited >= MOST_WAITED {
            return None;
        }
        let begin = Instant::now();
        let length = self.read_in_time(thread, address, into);
        let took = begin.elapsed();
        if took > USUAL {
            self.waited += took;
        }
        length
    }

    fn read_in_time(&mut self, thread: i32, address: u64, into: &mut [u8]) -> Option<usize> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::start().ok()?,
        };
        match reader.ask(thread, address, into) {
            Ok(length) => {
                self.reader = Some(reader);
                length
            }
            // It is dropped, and the next reading has a new one.
            Err(errno) => {
                log::debug!("read memory of thread {thread}: {errno}");
                None
            }
        }
    }
}

/// A process that reads what it is asked for, until nobody can ask any more.
#[derive(Debug)]
struct Reader {
    socket: OwnedFd,
    process: OwnedFd,
}

impl Reader {
    fn start() -> SysResult<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let pid = program::fork()?;
        if pid == 0 {
            serve(&theirs);
        }
        let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
        Ok(Self {
            socket: ours,
            process: pidfd_open(pid, PidfdFlags::empty())?,
        })
    }

    /// How many bytes came, none where the memory cannot be read.
    fn ask(&self, thread: i32, address: u64, into: &mut [u8]) -> SysResult<Option<usize>> {
        let mut request = [0; REQUEST];
        request[..4].copy_from_slice(&thread.to_ne_bytes());
        request[4..8].copy_from_slice(&(into.len() as u32).to_ne_bytes());
        request[8..].copy_from_slice(&address.to_ne_bytes());
        send(&self.socket, &request, SendFlags::NOSIGNAL)?;
        if !wait(&self.socket, PATIENCE)? {
            return Err(Errno::TIMEDOUT);
        }
        // A byte more than was read: an empty message would be the reader's end.
        let mut answer = [0; MOST + 1];
        let (length, _) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        match answer[..length].split_first() {
            None => Err(Errno::CONNRESET),
            Some((0, read)) if read.len() <= into.len() => {
                into[..read.len()].copy_from_slice(read);
                Ok(Some(read.len()))
            }
            Some(_) => Ok(None),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // One that hangs for good is init's to reap.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        if wait(&self.process, LAST_WAIT) == Ok(true) {
            let _ = waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// Whether there is something to read in time.
fn wait(fd: &OwnedFd, patience: Duration) -> SysResult<bool> {
    let until = Instant::now() + patience;
    loop {
        match poll(
            &mut [PollFd::new(fd, PollFlags::IN)],
            Some(&time_left(until)),
        ) {
            Err(Errno::INTR) => {}
            other => return other.map(|ready| ready == 1),
        }
    }
}

/// In the reader. It has nothing of the supervisor's open: a listener that stays open would keep calls waiting for ever.
fn serve(socket: &OwnedFd) -> ! {
    let _ = rustix::process::setsid();
    attributes::silence();
    if attributes::close_others(&[socket.as_raw_fd()]).is_ok() {
        while let Ok((REQUEST, _)) = take(socket) {}
    }
    program::exit_now(0)
}

fn take(socket: &OwnedFd) -> SysResult<(usize, usize)> {
    let mut request = [0; REQUEST];
    let (received, _) =
        rustix::io::retry_on_intr(|| recv(socket, &mut request[..], RecvFlags::empty()))?;
    let word = |at: usize| {
        u32::from_ne_bytes([
            request[at],
            request[at + 1],
            request[at + 2],
            request[at + 3],
        ])
    };
    let mut address = [0; 8];
    address.copy_from_slice(&request[8..]);
    let length = (word(4) as usize).min(MOST);
    let mut answer = [0; MOST + 1];
    let memory = &mut answer[1..=length];
    let sent = match read_memory(word(0).cast_signed(), u64::from_ne_bytes(address), memory) {
        Ok(read) => send(socket, &answer[..=read], SendFlags::NOSIGNAL)?,
        Err(_) => send(socket, &[1], SendFlags::NOSIGNAL)?,
    };
    Ok((received, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn text_ends_at_its_zero_and_bytes_come_all_or_not_at_all() {
        let mut memory = Memory::default();
        let text = b"some text\0and more";
        let at = text.as_ptr() as u64;
        assert_eq!(memory.text(own(), at), Some(b"some text".to_vec()));
        assert_eq!(memory.bytes(own(), at), Some(*b"some"));
        assert_eq!(memory.bytes::<4>(own(), 8), None);
        assert_eq!(memory.text(0, at), None);
        assert_eq!(memory.bytes(own(), at), Some(*b"some"));
    }

    #[test]
    fn a_reader_that_does_not_answer_is_given_up_and_after_some_nothing_is_read() {
        let text = *b"text";
        let reader = Reader::start().unwrap();
        pidfd_send_signal(&reader.process, Signal::STOP).unwrap();
        let mut memory = Memory {
            reader: Some(reader),
            waited: MOST_WAITED - PATIENCE,
        };
        let begin = Instant::now();
        assert_eq!(memory.bytes::<4>(own(), text.as_ptr() as u64), None);
        assert!(begin.elapsed() >= PATIENCE);
        assert!(memory.reader.is_none() && memory.waited >= MOST_WAITED);
        let begin = Instant::now();
        assert_eq!(memory.bytes::<4>(own(), text.as_ptr() as u64), None);
        assert!(begin.elapsed() < PATIENCE);
    }

    #[test]
    fn readings_that_end_just_in_time_add_up_until_nothing_is_read() {
        let text = *b"text";
        let read = |memory: &mut Memory| memory.bytes::<4>(own(), text.as_ptr() as u64);
        let reader = Reader::start().unwrap();
        pidfd_send_signal(&reader.process, Signal::STOP).unwrap();
        let process = rustix::io::fcntl_dupfd_cloexec(&reader.process, 3).unwrap();
        let mut memory = Memory {
            reader: Some(reader),
            waited: MOST_WAITED - USUAL,
        };
        let slow = std::thread::spawn(move || {
            std::thread::sleep(USUAL * 4);
            pidfd_send_signal(&process, Signal::CONT).unwrap();
        });
        assert_eq!(read(&mut memory), Some(text));
        slow.join().unwrap();
        assert_eq!(read(&mut memory), None);
    }
}
