//! A disk that loses at a power cut what it was not told to flush, as disks with a cache do. The
//! guest has it by the NBD protocol, which qemu speaks.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// At the beginning is what no file system can do without; it is taken to be written whole, or not.
const SUPERBLOCK: usize = 4096;

/// The disk's two faces.
pub(crate) struct Disk {
    /// What is on its plates.
    durable: File,
    /// The same with what is only in its cache.
    live: File,
    size: u64,
    /// What was written since the last flush, in order.
    cached: Vec<Arc<Write>>,
    /// All that was done since the guest was booted.
    history: Vec<Event>,
}

/// A write.
struct Write {
    offset: u64,
    bytes: Vec<u8>,
    /// It is on the plates; it stands among those in the cache for what was written before to the
    /// same place.
    through: bool,
}

/// Something that happened, in the order in which it did.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone)]
pub(crate) enum What {
    /// The disk wrote.
    Written(Written),
    /// The disk flushed its cache.
    Flushed,
    /// The guest said this.
    Said(String),
}

/// A write, for whoever does it again.
#[derive(Clone)]
pub(crate) struct Written(Arc<Write>);

/// How many bytes of the cache a cut kept, and how many it lost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cut {
    pub(crate) kept: u64,
    pub(crate) lost: u64,
}

impl Disk {
    /// The disk in the file `durable`; `live` is made anew.
    pub(crate) fn open(durable: &Path, live: &Path) -> io::Result<Self> {
        std::fs::copy(durable, live)?;
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        let (durable, live) = (open(durable)?, open(live)?);
        let size = durable.metadata()?.len();
        Ok(Self { durable, live, size, cached: Vec::new(), history: Vec::new() })
    }

    /// Takes down what the guest said.
    pub(crate) fn heard(&mut self, line: &str) {
        self.happened(What::Said(line.to_owned()));
    }

    /// What happened since this was last asked.
    pub(crate) fn take_history(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.history)
    }

    /// Does once more what a disk did.
    pub(crate) fn again(&mut self, what: &What) -> io::Result<()> {
        match what {
            What::Written(Written(write)) => self.write(Arc::clone(write)),
            What::Flushed => self.flush(),
            What::Said(_) => Ok(()),
        }
    }

    fn write(&mut self, write: Arc<Write>) -> io::Result<()> {
        self.live.write_all_at(&write.bytes, write.offset)?;
        if write.through {
            self.durable.write_all_at(&write.bytes, write.offset)?;
        }
        self.happened(What::Written(Written(Arc::clone(&write))));
        self.cached.push(write);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        for write in self.cached.drain(..) {
            self.durable.write_all_at(&write.bytes, write.offset)?;
        }
        self.happened(What::Flushed);
        Ok(())
    }

    fn happened(&mut self, what: What) {
        self.history.push(Event { at: Instant::now(), what });
    }

    /// The power is gone: of what is only in the cache, some sectors have reached the plates.
    pub(crate) fn cut(&mut self, random: &mut Random) -> io::Result<Cut> {
        let mut cut = Cut::default();
        // All are lost, none is, those after a moment are, or any.
        let (moment, chance) = match random.below(4) {
            0 => (0, 0),
            1 => (self.cached.len(), 0),
            2 => (random.below(self.cached.len() + 1), 0),
            _ => (0, 1 + random.below(99)),
        };
        let cached = std::mem::take(&mut self.cached);
        for (number, write) in cached.iter().enumerate() {
            let atom = if write.offset < SUPERBLOCK as u64 { SUPERBLOCK } else { SECTOR };
            for (sector, piece) in write.bytes.chunks(atom).enumerate() {
                if write.through || number < moment || random.below(100) < chance {
                    self.durable.write_all_at(piece, write.offset + (sector * atom) as u64)?;
                    cut.kept += piece.len() as u64;
                } else {
                    cut.lost += piece.len() as u64;
                }
            }
        }
        for write in &cached {
            let mut now = vec![0; write.bytes.len()];
            self.durable.read_exact_at(&mut now, write.offset)?;
            self.live.write_all_at(&now, write.offset)?;
        }
        Ok(cut)
    }
}

/// Serves the disk on a socket, to one after another, for as long as this program runs.
pub(crate) fn serve(disk: Arc<Mutex<Disk>>, socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that is killed breaks its connection.
            let _ = Connection::new(&disk, client).and_then(|mut connection| connection.run());
        }
    });
    Ok(())
}

/// A conversation with qemu.
struct Connection<'a> {
    disk: &'a Mutex<Disk>,
    from: BufReader<UnixStream>,
    to: UnixStream,
}

const OPTION: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REPLY: u32 = 0x6744_6698;
/// There are flags, and the commands for flushing and for writing through.
const CAN: u16 = 1 | 4 | 8;
const THROUGH: u16 = 1;
const INVALID: u32 = 22;
const BROKEN: u32 = 5;

impl<'a> Connection<'a> {
    fn new(disk: &'a Mutex<Disk>, client: UnixStream) -> io::Result<Self> {
        Ok(Self { disk, from: BufReader::new(client.try_clone()?), to: client })
    }

    fn run(&mut self) -> io::Result<()> {
        if self.agree()? {
            while self.command()? {}
        }
        Ok(())
    }

    /// Agrees on how to talk; false: the client goes away.
    fn agree(&mut self) -> io::Result<bool> {
        self.to.write_all(b"NBDMAGIC")?;
        self.to.write_all(&OPTION.to_be_bytes())?;
        // The newer style, without a long row of zeros.
        self.to.write_all(&3_u16.to_be_bytes())?;
        self.bytes::<4>()?;
        let size = self.disk.lock().expect("no thread panics with it").size;
        let export = [&size.to_be_bytes()[..], &CAN.to_be_bytes()].concat();
        loop {
            self.bytes::<8>()?;
            let option = u32::from_be_bytes(self.bytes()?);
            let length = u32::from_be_bytes(self.bytes()?);
            self.content(length)?;
            match option {
                // By name alone: there is no reply but what is served.
                1 => return self.to.write_all(&export).map(|()| true),
                // It goes away.
                2 => return Ok(false),
                // It wants to know what is served, or to begin.
                6 | 7 => {
                    self.answer(option, 3, &[&[0, 0], &export[..]].concat())?;
                    self.answer(option, 1, &[])?;
                    if option == 7 {
                        return Ok(true);
                    }
                }
                // Not known here.
                _ => self.answer(option, 0x8000_0001, &[])?,
            }
        }
    }

    fn answer(&mut self, option: u32, kind: u32, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let head =
            [&OPTION_REPLY.to_be_bytes()[..], &option.to_be_bytes(), &kind.to_be_bytes()].concat();
        self.to.write_all(&[&head[..], &length.to_be_bytes(), content].concat())
    }

    /// Does what the guest's kernel wants next; false: it has ended.
    fn command(&mut self) -> io::Result<bool> {
        self.bytes::<4>()?;
        let flags = u16::from_be_bytes(self.bytes()?);
        let kind = u16::from_be_bytes(self.bytes()?);
        let handle = self.bytes::<8>()?;
        let offset = u64::from_be_bytes(self.bytes()?);
        let length = u32::from_be_bytes(self.bytes()?);
        let mut read = Vec::new();
        let done = match kind {
            0 => {
                read.resize(length as usize, 0);
                self.disk().live.read_exact_at(&mut read, offset)
            }
            1 => {
                let bytes = self.content(length)?;
                let through = flags & THROUGH != 0;
                self.disk().write(Arc::new(Write { offset, bytes, through }))
            }
            2 => return Ok(false),
            3 => self.disk().flush(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        let error = match done {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => INVALID,
            Err(_) => BROKEN,
        };
        let head = [&REPLY.to_be_bytes()[..], &error.to_be_bytes(), &handle].concat();
        self.to.write_all(&head)?;
        if error == 0 {
            self.to.write_all(&read)?;
        }
        Ok(true)
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().expect("no thread panics with it")
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn content(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let mut content = vec![0; length as usize];
        self.from.read_exact(&mut content)?;
        Ok(content)
    }
}
