//! Image archives, whole and broken, made in memory.

use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A tar archive in the making.
pub struct Tar {
    builder: tar::Builder<Vec<u8>>,
}

impl Default for Tar {
    fn default() -> Self {
        Self::new()
    }
}

impl Tar {
    /// An empty one.
    pub fn new() -> Self {
        Self { builder: tar::Builder::new(Vec::new()) }
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, tar::EntryType::Directory, mode, &[])
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, tar::EntryType::Regular, mode, content)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.builder.append_link(&mut header, path, target).expect("write to memory");
        self
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(mut self, path: &str, target: &str) -> Self {
        let mut header = header(tar::EntryType::Link, 0o644, 0);
        self.builder.append_link(&mut header, path, target).expect("write to memory");
        self
    }

    /// Adds a pipe.
    #[must_use]
    pub fn pipe(self, path: &str, mode: u32) -> Self {
        self.entry(path, tar::EntryType::Fifo, mode, &[])
    }

    /// Adds a character device.
    #[must_use]
    pub fn device(mut self, path: &str, mode: u32, (major, minor): (u32, u32)) -> Self {
        let mut header = header(tar::EntryType::Char, mode, 0);
        header.set_device_major(major).and_then(|()| header.set_device_minor(minor)).expect("fits");
        self.builder.append_data(&mut header, path, &[][..]).expect("write to memory");
        self
    }

    /// Adds an entry whose name is taken as it is, however hostile.
    #[must_use]
    pub fn raw_file(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, 0o644, content.len() as u64);
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.builder.append(&header, content).expect("write to memory");
        self
    }

    /// The archive.
    pub fn bytes(self) -> Vec<u8> {
        self.builder.into_inner().expect("write to memory")
    }

    fn entry(mut self, path: &str, kind: tar::EntryType, mode: u32, content: &[u8]) -> Self {
        let mut header = header(kind, mode, content.len() as u64);
        self.builder.append_data(&mut header, path, content).expect("write to memory");
        self
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header
}

/// An image as `docker save` writes it, for `docker load`.
pub struct DockerArchive {
    /// Its names.
    pub tags: Vec<String>,
    /// Its layers, each a tar, the lowest first.
    pub layers: Vec<Vec<u8>>,
    /// What containers of it get by default: the `config` of its configuration.
    pub config: Value,
}

impl DockerArchive {
    /// The archive's parts: file name and content. A test may drop or break one.
    pub fn parts(&self) -> Vec<(String, Vec<u8>)> {
        let names: Vec<_> = (1..=self.layers.len()).map(|n| format!("layer{n}.tar")).collect();
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| digest(layer)).collect();
        let history: Vec<_> =
            names.iter().map(|name| json!({ "created_by": format!("ADD {name}") })).collect();
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        })
        .to_string()
        .into_bytes();
        let config_name = format!("{}.json", digest(&config).trim_start_matches("sha256:"));
        let manifest =
            json!([{ "Config": config_name, "RepoTags": self.tags, "Layers": names }]).to_string();
        let mut parts = vec![(config_name, config)];
        parts.extend(names.into_iter().zip(self.layers.iter().cloned()));
        parts.push(("manifest.json".to_owned(), manifest.into_bytes()));
        parts
    }

    /// The archive.
    pub fn bytes(&self) -> Vec<u8> {
        pack(&self.parts())
    }
}

/// A tar of these files.
pub fn pack(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    parts.iter().fold(Tar::new(), |tar, (name, content)| tar.file(name, 0o644, content)).bytes()
}

/// The same bytes, compressed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("write to memory")
}

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// This machine's architecture as images name it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Bytes that cannot be compressed, others for each `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed << 7) ^ seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
