//! Makes archives for tests, honest and hostile ones.

use tar::{EntryType, Header};

/// A member of an archive to be made.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    path: Vec<u8>,
    kind: EntryType,
    content: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    device: (u32, u32),
    stated_size: Option<u64>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    pub(crate) fn new(path: impl AsRef<[u8]>, kind: EntryType) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            kind,
            content: Vec::new(),
            link: Vec::new(),
            mode: if kind == EntryType::Directory { 0o755 } else { 0o644 },
            owner: (0, 0),
            device: (0, 0),
            stated_size: None,
            records: Vec::new(),
        }
    }

    pub(crate) fn file(path: impl AsRef<[u8]>, content: &[u8]) -> Self {
        Self { content: content.to_vec(), ..Self::new(path, EntryType::Regular) }
    }

    pub(crate) fn directory(path: impl AsRef<[u8]>) -> Self {
        Self::new(path, EntryType::Directory)
    }

    pub(crate) fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(path, EntryType::Symlink) }
    }

    pub(crate) fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(path, EntryType::Link) }
    }

    pub(crate) fn device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(path, EntryType::Char) }
    }

    pub(crate) fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::new(path, EntryType::Fifo)
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    pub(crate) fn stated_size(self, size: u64) -> Self {
        Self { stated_size: Some(size), ..self }
    }

    pub(crate) fn mtime(self, time: &str) -> Self {
        self.record("mtime", time.as_bytes())
    }

    pub(crate) fn attribute(self, name: &str, value: &[u8]) -> Self {
        self.record(&format!("SCHILY.xattr.{name}"), value)
    }

    pub(crate) fn record(mut self, key: &str, value: &[u8]) -> Self {
        self.records.push((key.as_bytes().to_vec(), value.to_vec()));
        self
    }

    fn write(&self, archive: &mut Vec<u8>) {
        let mut records = self.records.clone();
        if self.path.len() > 100 {
            records.push((b"path".to_vec(), self.path.clone()));
        }
        if self.link.len() > 100 {
            records.push((b"linkpath".to_vec(), self.link.clone()));
        }
        if !records.is_empty() {
            let content: Vec<u8> = records.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.extend_from_slice(header.as_bytes());
            push_padded(archive, &content);
        }
        let mut header = Header::new_ustar();
        {
            let old = header.as_old_mut();
            let path = &self.path[..self.path.len().min(100)];
            old.name[..path.len()].copy_from_slice(path);
            let link = &self.link[..self.link.len().min(100)];
            old.linkname[..link.len()].copy_from_slice(link);
        }
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(0);
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        header.set_size(self.stated_size.unwrap_or(self.content.len() as u64));
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        push_padded(archive, &self.content);
    }
}

/// An archive of these members.
pub(crate) fn tar_of(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        member.write(&mut archive);
    }
    archive.extend_from_slice(&[0; 1024]);
    archive
}

/// An archive of one sparse file of 8192 bytes: "ab" at 0 and "cde" at 4096.
pub(crate) fn sparse_tar(form: &str) -> Vec<u8> {
    let data = b"abcde";
    match form {
        "0.0" => tar_of(&[Member::file("sparse", data)
            .record("GNU.sparse.size", b"8192")
            .record("GNU.sparse.numblocks", b"2")
            .record("GNU.sparse.offset", b"0")
            .record("GNU.sparse.numbytes", b"2")
            .record("GNU.sparse.offset", b"4096")
            .record("GNU.sparse.numbytes", b"3")]),
        "0.1" => tar_of(&[Member::file("GNUSparseFile.1/sparse", data)
            .record("GNU.sparse.name", b"sparse")
            .record("GNU.sparse.size", b"8192")
            .record("GNU.sparse.map", b"0,2,4096,3")]),
        "1.0" => {
            let mut content = b"2\n0\n2\n4096\n3\n".to_vec();
            content.resize(512, 0);
            content.extend_from_slice(data);
            tar_of(&[Member::file("GNUSparseFile.1/sparse", &content)
                .record("GNU.sparse.major", b"1")
                .record("GNU.sparse.minor", b"0")
                .record("GNU.sparse.name", b"sparse")
                .record("GNU.sparse.realsize", b"8192")])
        }
        _ => {
            let mut header = Header::new_gnu();
            header.set_path("sparse").unwrap();
            header.set_entry_type(EntryType::GNUSparse);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(data.len() as u64);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.set_real_size(8192);
            for (slot, (offset, length)) in gnu.sparse.iter_mut().zip([(0, 2), (4096, 3)]) {
                slot.set_offset(offset);
                slot.set_length(length);
            }
            header.set_cksum();
            let mut archive = header.as_bytes().to_vec();
            push_padded(&mut archive, data);
            archive.extend_from_slice(&[0; 1024]);
            archive
        }
    }
}

fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn push_padded(archive: &mut Vec<u8>, content: &[u8]) {
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
